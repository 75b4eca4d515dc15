package scenario

import (
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// The keys of a file, as they are read. Every value keeps its line, so that what is
// found to be wrong with it later can be said with its place.
type (
	fileKeys struct {
		Name      text                `yaml:"name"`
		Members   list                `yaml:"members"`
		Roles     map[string]roleKeys `yaml:"roles"`
		Workflows list                `yaml:"workflows"`
		Round     *roundKeys          `yaml:"round"`
		Steps     []stepKeys          `yaml:"steps"`
		Timeline  []entryKeys         `yaml:"timeline"`
	}
	roleKeys struct {
		Slots    text `yaml:"slots"`
		TTL      text `yaml:"ttl"`
		OnDemand text `yaml:"on_demand"`
	}
	roundKeys struct {
		Workflow     text `yaml:"workflow"`
		FailFast     text `yaml:"fail_fast"`
		Deadline     text `yaml:"deadline"`
		AllowMissing text `yaml:"allow_missing"`
		Force        text `yaml:"force"`
	}
	stepKeys struct {
		Name        text `yaml:"name"`
		File        text `yaml:"file"`
		Role        text `yaml:"role"`
		After       list `yaml:"after"`
		Limit       text `yaml:"limit"`
		Timeout     text `yaml:"timeout"`
		Workflow    text `yaml:"workflow"`
		AtOnce      text `yaml:"at_once"`
		MaxFailures text `yaml:"max_failures"`
		Lead        text `yaml:"lead"`
		Takes       text `yaml:"takes"`
		Fails       list `yaml:"fails"`
		Command     list `yaml:"command"`
	}
	entryKeys struct {
		At        text        `yaml:"at"`
		Expect    *expectKeys `yaml:"expect"`
		Kill      list        `yaml:"kill"`
		Stop      list        `yaml:"stop"`
		Restart   list        `yaml:"restart"`
		Drop      list        `yaml:"drop"`
		Partition list        `yaml:"partition"`
		Heal      list        `yaml:"heal"`
		Expire    list        `yaml:"expire"`
		Renew     list        `yaml:"renew"`
		Complete  list        `yaml:"complete"`
		Fail      list        `yaml:"fail"`
		Endpoint  text        `yaml:"endpoint"`
		Round     *roundKeys  `yaml:"round"`
		Run       text        `yaml:"run"`
		On        list        `yaml:"on"`
		Operator  list        `yaml:"operator"`
		As        text        `yaml:"as"`
		place     `yaml:"-"`
	}
	expectKeys struct {
		Holders text `yaml:"holders"`
		Running list `yaml:"running"`
		Began   text `yaml:"began"`
		Ended   text `yaml:"ended"`
		Members text `yaml:"members"`
		Verdict text `yaml:"verdict"`
		Order   list `yaml:"order"`
		Count   text `yaml:"count"`
		AtMost  text `yaml:"at_most"`
		AtLeast text `yaml:"at_least"`
		Who     list `yaml:"who"`
		Not     list `yaml:"not"`
		Round   text `yaml:"round"`
		Barrier text `yaml:"barrier"`
		Failed  list `yaml:"failed"`
		Missing list `yaml:"missing"`
		Within  text `yaml:"within"`
		For     text `yaml:"for"`
		place   `yaml:"-"`
	}
	// The same, without the method by which they find their place.
	plainEntry  entryKeys
	plainExpect expectKeys
)

// keysOf are the maps of a file, by the decoder's names of their types.
var keysOf = map[string]reflect.Type{
	"scenario.fileKeys":    reflect.TypeFor[fileKeys](),
	"scenario.roleKeys":    reflect.TypeFor[roleKeys](),
	"scenario.roundKeys":   reflect.TypeFor[roundKeys](),
	"scenario.stepKeys":    reflect.TypeFor[stepKeys](),
	"scenario.plainEntry":  reflect.TypeFor[entryKeys](),
	"scenario.plainExpect": reflect.TypeFor[expectKeys](),
}

// known returns the keys of such a map.
func known(t reflect.Type) string {
	var all []string
	for f := range t.Fields() {
		if key := f.Tag.Get("yaml"); key != "-" {
			all = append(all, key)
		}
	}
	return strings.Join(all, ", ")
}

// place is where something stands in the file.
type place struct{ line int }

var lineOf = regexp.MustCompile(`line (\d+): `)

// locate finds the place of what is being read. The decoder tells it only in the
// error of a value that does not fit, and none fits a channel.
func (p *place) locate(unmarshal func(any) error) {
	var unfit chan int
	if err := unmarshal(&unfit); err != nil {
		if m := lineOf.FindStringSubmatch(err.Error()); m != nil {
			p.line, _ = strconv.Atoi(m[1])
		}
	}
}

// text is one value, as it is written.
type text struct {
	s string
	place
}

func (t *text) UnmarshalYAML(unmarshal func(any) error) error {
	t.locate(unmarshal)
	return unmarshal(&t.s)
}

func (t text) given() bool { return t.line > 0 }

// list is some values, or a single one.
type list struct {
	items []text
	place
}

func (l *list) UnmarshalYAML(unmarshal func(any) error) error {
	l.locate(unmarshal)
	var one text
	if unmarshal(&one) == nil {
		l.items = []text{one}
		return nil
	}
	return unmarshal(&l.items)
}

func (l list) given() bool { return l.line > 0 }

func (l list) texts() []string {
	texts := make([]string, len(l.items))
	for i, t := range l.items {
		texts[i] = t.s
	}
	return texts
}

func (k *entryKeys) UnmarshalYAML(unmarshal func(any) error) error {
	k.locate(unmarshal)
	return unmarshal((*plainEntry)(k))
}

func (k *expectKeys) UnmarshalYAML(unmarshal func(any) error) error {
	k.locate(unmarshal)
	return unmarshal((*plainExpect)(k))
}
