package render

import (
	"fmt"
	"reflect"
	"strings"
	"text/template"
	"text/template/parse"
	"time"

	"gitlab.com/rackn/provision/v4/models"
)

const (
	maxRendered   = 16 << 20        // bytes that the templates of one task make
	maxRenderTime = 5 * time.Second // for one task
	maxNesting    = 500             // of templates, by whatever way they call each other
	maxElements   = 1 << 20         // of a list that a function makes
	maxTemplate   = 1 << 20         // bytes of a template
)

// limits is what the rendering of one task may still use. Templates are
// programs: without limits one of them could keep the endpoint busy for ever.
type limits struct {
	written  int
	nesting  int
	deadline time.Time
	ticked   map[*parse.ListNode]bool
}

func newLimits() *limits {
	return &limits{deadline: time.Now().Add(maxRenderTime), ticked: map[*parse.ListNode]bool{}}
}

// enter counts a template that is executed, in another one perhaps.
func (l *limits) enter() error {
	if l.nesting++; l.nesting > maxNesting {
		return fmt.Errorf("templates and params expand one another more than %d deep", maxNesting)
	}
	return l.tick()
}

func (l *limits) leave() error {
	l.nesting--
	return nil
}

// tick fails when rendering takes too long.
func (l *limits) tick() error {
	if time.Now().After(l.deadline) {
		return fmt.Errorf("rendering takes more than %s", maxRenderTime)
	}
	return nil
}

// parseText parses a template. A long one could be nested so deep that the parser,
// which is recursive, overflows its stack: that would end the process.
func parseText(t *template.Template, text string) (*template.Template, error) {
	if len(text) > maxTemplate {
		return nil, fmt.Errorf("template %s has more than %d bytes", t.Name(), maxTemplate)
	}
	return t.Parse(text)
}

// The functions that calls are added of: text/template itself cannot be stopped.
const (
	enterName = "_enter"
	leaveName = "_leave"
	tickName  = "_tick"
)

// instrument makes every template of a set call enter and leave, and every loop in
// it tick.
func (l *limits) instrument(set *template.Template) {
	for _, t := range set.Templates() {
		if t.Tree == nil || t.Root == nil || l.ticked[t.Root] {
			continue
		}
		l.ticked[t.Root] = true
		tickLoops(t.Root)
		t.Root.Nodes = append(append([]parse.Node{callOf(enterName)}, t.Root.Nodes...), callOf(leaveName))
	}
}

func tickLoops(list *parse.ListNode) {
	if list == nil {
		return
	}
	for _, node := range list.Nodes {
		switch n := node.(type) {
		case *parse.IfNode:
			tickLoops(n.List)
			tickLoops(n.ElseList)
		case *parse.WithNode:
			tickLoops(n.List)
			tickLoops(n.ElseList)
		case *parse.RangeNode:
			tickLoops(n.List)
			tickLoops(n.ElseList)
			n.List.Nodes = append([]parse.Node{callOf(tickName)}, n.List.Nodes...)
		}
	}
}

func callOf(name string) parse.Node {
	trees, err := parse.Parse(name, "{{"+name+"}}", "", "", map[string]any{name: ""})
	if err != nil {
		panic(err) // the text is constant
	}
	return trees[name].Root.Nodes[0]
}

// output collects what templates write.
type output struct {
	limits *limits
	text   strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	if o.limits.written += len(p); o.limits.written > maxRendered {
		return 0, fmt.Errorf("rendering makes more than %d bytes", maxRendered)
	}
	return o.text.Write(p)
}

// funcs are the functions of DRP's templates, none of which may make a text or a
// list that is too long.
func (l *limits) funcs() template.FuncMap {
	funcs := models.DrpSafeFuncMap()
	funcs["print"], funcs["printf"], funcs["println"] = fmt.Sprint, fmt.Sprintf, fmt.Sprintln
	for name, fn := range funcs {
		funcs[name] = bounded(name, fn)
	}
	for name, check := range map[string]func() error{enterName: l.enter, leaveName: l.leave, tickName: l.tick} {
		funcs[name] = func() (string, error) { return "", check() }
	}
	return funcs
}

// bounded is fn, but panics, which text/template makes an error of, instead of
// making too long a text. What makes one of a small argument is asked before.
func bounded(name string, fn any) any {
	f := reflect.ValueOf(fn)
	return reflect.MakeFunc(f.Type(), func(args []reflect.Value) []reflect.Value {
		if grows := growth[name]; grows != nil && grows(args) > maxElements {
			panic(fmt.Errorf("%s makes more than %d elements", name, maxElements))
		}
		call := f.Call
		if f.Type().IsVariadic() {
			call = f.CallSlice
		}
		out := call(args)
		if out[0].Kind() == reflect.String && out[0].Len() > maxRendered {
			panic(fmt.Errorf("%s makes more than %d bytes", name, maxRendered))
		}
		return out
	}).Interface()
}

// growth estimates how much functions make that need no long argument for that.
var growth = map[string]func(args []reflect.Value) float64{
	"until":        func(a []reflect.Value) float64 { return abs(a[0]) },
	"untilStep":    func(a []reflect.Value) float64 { return (abs(a[0]) + abs(a[1])) / max(abs(a[2]), 1) },
	"seq":          sumOf,
	"repeat":       func(a []reflect.Value) float64 { return abs(a[0]) * float64(a[1].Len()) },
	"indent":       func(a []reflect.Value) float64 { return abs(a[0]) * lines(a[1]) },
	"nindent":      func(a []reflect.Value) float64 { return abs(a[0]) * lines(a[1]) },
	"replace":      func(a []reflect.Value) float64 { return occurrences(a[2], a[0]) * float64(a[1].Len()) },
	"randAlphaNum": func(a []reflect.Value) float64 { return abs(a[0]) },
	"randAlpha":    func(a []reflect.Value) float64 { return abs(a[0]) },
	"randAscii":    func(a []reflect.Value) float64 { return abs(a[0]) },
	"randNumeric":  func(a []reflect.Value) float64 { return abs(a[0]) },
	"randBytes":    func(a []reflect.Value) float64 { return abs(a[0]) },
}

func abs(v reflect.Value) float64 { return max(float64(v.Int()), -float64(v.Int())) }

func lines(v reflect.Value) float64 { return float64(1 + strings.Count(v.String(), "\n")) }

func occurrences(in, what reflect.Value) float64 {
	return float64(strings.Count(in.String(), what.String()))
}

// sumOf bounds seq, whose one slice holds start, step and end.
func sumOf(args []reflect.Value) (sum float64) {
	for i := range args[0].Len() {
		sum += abs(args[0].Index(i))
	}
	return sum
}
