package render

import (
	"fmt"
	"reflect"
	"strings"
	"text/template"

	"gitlab.com/rackn/provision/v4/models"
)

// cost estimates, from above, how many bytes a call makes of its arguments, of which
// the variadic ones are spread. It panics if the call is not allowed.
type cost func(l *limits, args []reflect.Value) float64

// allowed are the functions of templates. Of those that DRP has, what reaches out of
// the process (getHostByName), is costly by design (keys, certificates, password
// hashes) or encrypts is missing.
var allowed = map[string]cost{}

func init() {
	for names, c := range map[string]cost{
		// What is of a fixed size, or part of an argument.
		`hello trunc trim substr trimall trimAll trimSuffix trimPrefix contains hasPrefix hasSuffix plural
		 abbrev abbrevboth randInt uuidv4 unixEpoch dateModify date_modify mustDateModify must_date_modify
		 toDate mustToDate duration durationRound default empty coalesce all any ternary typeOf typeIs
		 typeIsLike kindOf kindIs get set unset hasKey first mustFirst last mustLast dig fail atoi isAbs osIsAbs`: few,
		// Numbers, which print what is none into an error that nobody sees.
		`int int64 float64 toDecimal add1 add sub div mod mul biggest max min maxf minf ceil floor round`: text(8),
		`add1f addf subf divf mulf`: decimals,
		// Texts.
		`upper lower title untitle nospace initials swapcase shuffle snakecase camelcase kebabcase
		 date dateInZone date_in_zone htmlDate htmlDateInZone base dir clean ext osBase osClean osDir osExt
		 sha1sum sha256sum sha512sum adler32sum b64enc b64dec b32enc b32dec regexQuoteMeta`: text(4),
		`print println squote cat toString toStrings sortAlpha`:                   text(6),
		`html js urlquery quote urlParse urlJoin`:                                 text(16),
		`semver semverCompare`:                                                    short,
		`toJson mustToJson toRawJson mustToRawJson toPrettyJson mustToPrettyJson`: encoding,
		`fromJson mustFromJson`:                                                   text(32),
		`printf`:                                                                  printfCost, `repeat`: repeatCost, `replace`: replaceCost, `join`: joinCost,
		`indent nindent`: indentCost, `wrap wrapWith`: wrapCost,
		`split splitn splitList`:                                 splitCost,
		`randAlphaNum randAlpha randAscii randNumeric randBytes`: func(_ *limits, a []reflect.Value) float64 { return 64 * abs(a[0]) },
		`until untilStep seq`:                                    countCost,
		// Lists and maps, whose elements are shared.
		`list tuple`: func(_ *limits, a []reflect.Value) float64 { return 16 * float64(len(a)) },
		`append push mustAppend mustPush prepend mustPrepend rest mustRest initial mustInitial reverse mustReverse
		 compact mustCompact concat pluck`: elements(16),
		`keys values pick omit chunk mustChunk`: elements(128),
		`slice mustSlice`:                       text(8),
		`dict`:                                  dictCost,
		`uniq mustUniq without mustWithout has mustHas deepEqual`: comparisons,
		`merge mustMerge mergeOverwrite mustMergeOverwrite deepCopy mustDeepCopy`: func(_ *limits, a []reflect.Value) float64 {
			s := sizeOf(a...)
			return s.bytes + 64*s.nodes
		},
		`regexMatch mustRegexMatch regexFind mustRegexFind`: func(l *limits, a []reflect.Value) float64 {
			expression(a)
			return 64
		},
		`regexFindAll mustRegexFindAll regexSplit mustRegexSplit regexReplaceAll mustRegexReplaceAll
		 regexReplaceAllLiteral mustRegexReplaceAllLiteral`: matchesCost,
	} {
		for _, name := range strings.Fields(names) {
			allowed[name] = c
		}
	}
}

// funcs are the functions of templates, each of which asks before it makes anything.
func (l *limits) funcs() template.FuncMap {
	all := models.DrpSafeFuncMap()
	all["print"], all["printf"], all["println"] = fmt.Sprint, fmt.Sprintf, fmt.Sprintln
	all["html"], all["js"], all["urlquery"] = template.HTMLEscaper, template.JSEscaper, template.URLQueryEscaper
	all["deepCopy"] = func(v any) any { return copyOf(reflect.ValueOf(&v).Elem()).Interface() }
	all["mustDeepCopy"] = all["deepCopy"]
	for _, name := range []string{"merge", "mustMerge", "mergeOverwrite", "mustMergeOverwrite"} {
		all[name] = ofCopies(all[name])
	}
	funcs := template.FuncMap{}
	for name, c := range allowed {
		funcs[name] = l.bounded(name, all[name], c)
	}
	for name, check := range map[string]func() error{enterName: l.enter, leaveName: l.leave, tickName: l.tick} {
		funcs[name] = func() (string, error) { return "", check() }
	}
	funcs[printName], funcs[rangeName] = l.printable, iterable
	return funcs
}

// bounded is fn, paid for before it is called.
func (l *limits) bounded(name string, fn any, c cost) any {
	f := reflect.ValueOf(fn)
	variadic := f.Type().IsVariadic()
	return reflect.MakeFunc(f.Type(), func(args []reflect.Value) []reflect.Value {
		flat := args
		if last := len(args) - 1; variadic {
			flat = append([]reflect.Value{}, args[:last]...)
			for i := range args[last].Len() {
				flat = append(flat, args[last].Index(i))
			}
		}
		l.charge(name, 64+c(l, flat))
		if variadic {
			return f.CallSlice(args)
		}
		return f.Call(args)
	}).Interface()
}

// ofCopies is a merge that shares nothing with its sources, so that no map can become
// a part of itself.
func ofCopies(merge any) any {
	f := reflect.ValueOf(merge)
	return reflect.MakeFunc(f.Type(), func(args []reflect.Value) []reflect.Value {
		args[1] = copyOf(args[1])
		return f.CallSlice(args)
	}).Interface()
}

// printable is put behind whatever a template prints. text/template prints in memory
// first: what is too much must not get there.
func (l *limits) printable(v reflect.Value) (reflect.Value, error) {
	if s := sizeOf(v); s.bytes > maxMade {
		return v, fmt.Errorf("rendering makes more than %d bytes", maxRendered)
	}
	return v, nil
}

// iterable is put behind what a loop is over. Of what it cannot loop over,
// text/template prints the value.
func iterable(v reflect.Value) (reflect.Value, error) {
	at := v
	for at.Kind() == reflect.Pointer || at.Kind() == reflect.Interface {
		at = at.Elem()
	}
	if at.Kind() == reflect.Struct || at.Kind() == reflect.String {
		return v, fmt.Errorf("range can't iterate over %s", at.Type())
	}
	return v, nil
}
