package endpoint

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
	maxNesting    = 64              // of CallTemplate, ParamExpand and BootParams in one another
	maxElements   = 1 << 20         // of a list that a function makes
	maxTemplate   = 1 << 20         // bytes of a template
)

// renderLimits is what the rendering of one task may still use. Templates are
// programs: without limits one of them could keep the endpoint busy for ever.
type renderLimits struct {
	written  int
	nesting  int
	deadline time.Time
	ticked   map[*parse.ListNode]bool
}

func newRenderLimits() *renderLimits {
	return &renderLimits{deadline: time.Now().Add(maxRenderTime), ticked: map[*parse.ListNode]bool{}}
}

// enter counts one more execution within another.
func (l *renderLimits) enter(set *template.Template) error {
	if l.nesting >= maxNesting {
		return fmt.Errorf("more than %d templates and params expand one another", maxNesting)
	}
	l.nesting++
	for _, t := range set.Templates() {
		if t.Tree != nil {
			l.instrument(t.Root)
		}
	}
	return l.tick()
}

func (l *renderLimits) leave() { l.nesting-- }

// tick fails when rendering takes too long.
func (l *renderLimits) tick() error {
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

// tickName is the function that instrument adds calls of.
const tickName = "_tick"

// instrument makes a template and every loop in it call tick: text/template itself
// cannot be stopped.
func (l *renderLimits) instrument(list *parse.ListNode) {
	if list == nil || l.ticked[list] {
		return
	}
	l.ticked[list] = true
	for _, node := range list.Nodes {
		switch n := node.(type) {
		case *parse.IfNode:
			l.instrument(n.List)
			l.instrument(n.ElseList)
		case *parse.WithNode:
			l.instrument(n.List)
			l.instrument(n.ElseList)
		case *parse.RangeNode:
			l.instrument(n.List)
			l.instrument(n.ElseList)
		}
	}
	list.Nodes = append([]parse.Node{tickCall()}, list.Nodes...)
}

func tickCall() parse.Node {
	trees, err := parse.Parse(tickName, "{{"+tickName+"}}", "", "", map[string]any{tickName: ""})
	if err != nil {
		panic(err) // the text is constant
	}
	return trees[tickName].Root.Nodes[0]
}

// renderOutput collects what templates write.
type renderOutput struct {
	limits *renderLimits
	text   strings.Builder
}

func (o *renderOutput) Write(p []byte) (int, error) {
	if o.limits.written += len(p); o.limits.written > maxRendered {
		return 0, fmt.Errorf("rendering makes more than %d bytes", maxRendered)
	}
	return o.text.Write(p)
}

// funcs are the functions of DRP's templates, none of which may make a text or a
// list that is too long.
func (l *renderLimits) funcs() template.FuncMap {
	funcs := models.DrpSafeFuncMap()
	funcs["print"], funcs["printf"], funcs["println"] = fmt.Sprint, fmt.Sprintf, fmt.Sprintln
	for name, fn := range funcs {
		funcs[name] = bounded(name, fn)
	}
	funcs[tickName] = func() (string, error) { return "", l.tick() }
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
