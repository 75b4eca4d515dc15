package render

import (
	"fmt"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
)

const (
	maxRendered   = 16 << 20        // bytes that the templates of one task make
	maxRenderTime = 5 * time.Second // for one task
	maxNesting    = 500             // of templates, by whatever way they call each other
	maxTemplate   = 1 << 20         // bytes of a template
)

// limits is what the rendering of one task may still use. Templates are
// programs: without limits one of them could keep the endpoint busy for ever.
type limits struct {
	written  int
	made     float64
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
	printName = "_print"
	rangeName = "_range"
)

// instrument makes every template of a set call enter and leave, every loop in it
// tick, and everything that is printed or looped over pass a check.
func (l *limits) instrument(set *template.Template) {
	for _, t := range set.Templates() {
		if t.Tree == nil || t.Root == nil || l.ticked[t.Root] {
			continue
		}
		l.ticked[t.Root] = true
		watch(t.Root)
		t.Root.Nodes = append(append([]parse.Node{callOf(enterName)}, t.Root.Nodes...), callOf(leaveName))
	}
}

func watch(list *parse.ListNode) {
	if list == nil {
		return
	}
	for _, node := range list.Nodes {
		switch n := node.(type) {
		case *parse.IfNode:
			watch(n.List)
			watch(n.ElseList)
		case *parse.WithNode:
			watch(n.List)
			watch(n.ElseList)
		case *parse.ActionNode:
			if len(n.Pipe.Decl) == 0 {
				n.Pipe.Cmds = append(n.Pipe.Cmds, callOf(printName).Pipe.Cmds...)
			}
		case *parse.RangeNode:
			n.Pipe.Cmds = append(n.Pipe.Cmds, callOf(rangeName).Pipe.Cmds...)
			watch(n.List)
			watch(n.ElseList)
			n.List.Nodes = append([]parse.Node{callOf(tickName)}, n.List.Nodes...)
		}
	}
}

func callOf(name string) *parse.ActionNode {
	trees, err := parse.Parse(name, "{{"+name+"}}", "", "", map[string]any{name: ""})
	if err != nil {
		panic(err) // the text is constant
	}
	return trees[name].Root.Nodes[0].(*parse.ActionNode)
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
