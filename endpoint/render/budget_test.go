package render

import (
	"runtime"
	"strings"
	"testing"

	"gitlab.com/rackn/provision/v4/models"
)

// Every template here would take gigabytes, minutes or the whole process.
func TestCostlyTemplatesEndWithinTheBudget(t *testing.T) {
	big := `{{$s := repeat 1000000 "x"}}`
	double := func(call string) string { return `{{$s := "<x>"}}{{range until 60}}{{$s = ` + call + `}}{{end}}` }
	tree := `{{$d := list "x"}}{{range until 60}}{{$d = list $d $d}}{{end}}`
	maps := `{{$d := dict "a" 1}}{{range until 60}}{{$d = dict "a" $d "b" $d}}{{end}}`
	self := `{{$d := dict}}{{$_ := set $d "a" $d}}`
	deep := `{{$d := list 1}}{{range until 100000}}{{$d = list $d}}{{end}}`
	for _, source := range []string{
		`{{len (join (repeat 1000000 "x") (until 30000))}}`,
		`{{$_ := printf "` + strings.Repeat("%999999[1]d", 12000) + `" 1}}`,
		`{{$_ := printf "%*d" 999999999 1}}`,
		big + `{{$_ := printf "` + strings.Repeat("%[1]s", 2000) + `" $s}}`,
		`{{$_ := printf "` + strings.Repeat("%1000d", 1000) + `" (until 10000)}}`,
		double(`printf "%s%s" $s $s`), double(`print $s $s`), double(`println $s $s`), double(`js $s`), double(`html $s $s`),
		double(`urlquery $s $s`), double(`cat $s $s`), double(`quote $s $s`), double(`squote $s $s`), double(`b64enc (print $s $s)`),
		double(`b32enc (cat $s $s)`), double(`toJson (list $s $s)`), double(`toPrettyJson (list $s $s)`), double(`join $s (list $s $s $s)`),
		double(`replace "x" $s $s`), double(`regexReplaceAll "x" $s (print $s $s)`), double(`repeat 2 $s`), double(`indent 9 (cat $s $s)`),
		double(`regexQuoteMeta (cat $s $s)`), double(`upper (cat $s $s)`), double(`snakecase (cat $s $s)`), double(`wrapWith 1 $s $s`),
		`{{$s := list 1}}{{range until 60}}{{$s = concat $s $s}}{{end}}`,
		`{{$s := list 1}}{{range until 1000000}}{{$s = append $s 1}}{{end}}`,
		`{{$s := list 1}}{{range until 1000000}}{{$s = prepend $s (repeat 1000 "x")}}{{end}}`,
		`{{$d := dict}}{{range $i := until 1000000}}{{$_ := set $d (toString $i) (repeat 1000 "x")}}{{end}}`,
		`{{$l := until 100000}}{{$k := list}}{{range until 1000000}}{{$k = append $k (reverse $l)}}{{end}}`,
		big + `{{$_ := regexReplaceAll "" $s $s}}`, big + `{{$_ := regexReplaceAll "(x+)" $s (repeat 1000 "$1")}}`,
		big + `{{$_ := regexMatch "` + strings.Repeat("a?", 4000) + `b" $s}}`, big + `{{$_ := regexMatch "` + strings.Repeat("x?", 400) + `b" $s}}`,
		big + `{{$_ := regexFind "((x{100}){10}){10}" $s}}`,
		big + `{{$_ := indent 1000000 (replace "x" "\n" $s)}}`, big + `{{$_ := nindent 1000 (replace "x" "\n" $s)}}`,
		big + `{{$_ := wrapWith 1 $s $s}}`, big + `{{$_ := splitList "" $s}}`, big + `{{$_ := split "" $s}}`, big + `{{$_ := semver $s}}`,
		`{{$_ := fromJson (repeat 5000000 "[")}}`, `{{$_ := fromJson (print "[" (repeat 1500000 "{},") "1]")}}`,
		`{{$_ := randAlphaNum 9999999}}`, `{{$_ := randBytes 99999999}}`, `{{$_ := seq 1 99999999}}`,
		`{{$_ := untilStep 0 9223372036854775807 4611686018427387904}}`, `{{$_ := seq 0 4611686018427387904 9223372036854775807}}`,
		tree + `{{$d}}`, tree + `{{$_ := print $d}}`, tree + `{{$_ := toJson $d}}`, tree + `{{$_ := deepCopy $d}}`, tree + `{{$_ := int $d}}`,
		tree + `{{$_ := join "," $d}}`, tree + `{{$_ := deepEqual $d (list $d)}}`, tree + `{{$_ := uniq $d}}`, tree + `{{$_ := has 1 $d}}`,
		tree + `{{$_ := dict $d 1}}`, tree + `{{$_ := set .Machine.Params "a" $d}}{{range .Machine}}{{end}}`, tree + `{{$_ := slice $d $d}}`,
		maps + `{{$_ := merge (dict) $d}}`, maps + `{{$_ := mergeOverwrite (dict "a" 1) $d}}`, maps + `{{$_ := deepCopy $d}}`, maps + `{{$_ := toPrettyJson $d}}`,
		self + `{{$d}}`, self + `{{$_ := toJson $d}}`, self + `{{$_ := merge $d $d}}`, self + `{{$_ := deepCopy $d}}`, self + `{{$_ := add $d}}`,
		deep + `{{$d}}`, deep + `{{$_ := deepEqual $d $d}}`, deep + `{{$_ := print $d}}`,
		`{{$_ := uniq (until 100000)}}`, `{{$_ := mulf ` + strings.Repeat("1e300 ", 100000) + `}}`,
		`{{$k := list}}{{range until 1000000}}{{$k = append $k ($.Param "big")}}{{end}}`,
		`{{$k := list}}{{range until 1000000}}{{$k = append $k ($.ParamAsJSON "big")}}{{end}}`,
		`{{$k := list}}{{range until 1000000}}{{$k = append $k ($.ParamAsYAML "big")}}{{end}}`,
		`{{$k := list}}{{range until 1000000}}{{$k = append $k ($.ParamCompose "big")}}{{end}}`,
	} {
		src := testSource()
		param := strings.Repeat("x", 1_000_000)
		src.Param = func(string) (any, bool) { return strings.Clone(param), true }
		src.Params = func(string) []any { return []any{strings.Clone(param)} }
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Actions(src, taskOf(source), "linux")
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%.200s: no error", source)
		}
		if made := after.TotalAlloc - before.TotalAlloc; made > 512<<20 {
			t.Errorf("%.200s: made %d MiB: %.300v", source, made>>20, err)
		}
	}
}

// What reaches out of the process or is costly by design is no function of templates.
func TestFunctionsAreThoseAllowed(t *testing.T) {
	all := models.DrpSafeFuncMap()
	for name := range allowed {
		switch name {
		case "print", "printf", "println", "html", "js", "urlquery":
		default:
			if all[name] == nil {
				t.Errorf("%s is not a function of DRP", name)
			}
		}
		delete(all, name)
	}
	var left []string
	for name := range all {
		left = append(left, name)
	}
	want := map[string]bool{}
	for _, name := range strings.Fields(`bcrypt htpasswd genPrivateKey derivePassword buildCustomCert genCA genCAWithKey genSelfSignedCert
		genSelfSignedCertWithKey genSignedCert genSignedCertWithKey encryptAES decryptAES getHostByName`) {
		want[name] = true
	}
	for _, name := range left {
		if !want[name] {
			t.Errorf("%s of DRP is missing", name)
		}
	}
	for name := range want {
		_, err := Actions(testSource(), taskOf("{{"+name+"}}"), "linux")
		if err == nil || !strings.Contains(err.Error(), "not defined") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestModestFunctionsWork(t *testing.T) {
	for source, want := range map[string]string{
		`{{printf "%5.2f|%-4s|%03d|%v|%q|%[1]v%%" 1.5 "a" 7 (list 1 2) "x"}}`:                                                               " 1.50|a   |007|[1 2]|\"x\"|1.5%",
		`{{$d := dict "a" (dict "b" 1)}}{{$e := dict "a" (dict "b" 2 "c" 3)}}{{toJson (merge $d $e)}}{{$_ := set $d.a "c" 4}}{{toJson $e}}`: `{"a":{"b":1,"c":3}}{"a":{"b":2,"c":3}}`,
		`{{$d := dict "a" (list (dict "b" nil))}}{{$c := deepCopy $d}}{{$_ := set (first $c.a) "b" 2}}{{toJson $d}}{{toJson $c}}`:           `{"a":[{"b":null}]}{"a":[{"b":2}]}`,
		`{{deepCopy nil}} {{deepCopy 1}} {{toJson (mustMergeOverwrite (dict "a" 1) (dict "a" 2))}}`:                                         `<no value> 1 {"a":2}`,
		`{{regexReplaceAll "a(b*)" "abbab" "<$1>"}} {{regexFindAll "[0-9]" "1a2b" -1}} {{regexMatch "^n" "n1"}} {{regexMatch "(" "n1"}}`:    "<bb><b> [1 2] true false",
		`{{range $i, $e := list "a" "b"}}{{$i}}{{$e}}{{end}}{{range dict "k" 1}}{{.}}{{end}}{{range 2}}.{{end}}`:                            "0a1b1..",
		`{{seq 0 2 10}} {{until 3}} {{untilStep 0 10 5}} {{seq 3}} {{addf 1.5 2}} {{add 1 2}} {{int "7"}} {{indent 2 "a\nb"}}`:              "0 2 4 6 8 10 [0 1 2] [0 5] 1 2 3 3.5 3 7   a\n  b",
		`{{html "<"}} {{js "'"}} {{urlquery "a b"}} {{len (js "<")}} {{uniq (list 1 1 2)}} {{join "," (until 3)}} {{"a b" | wrap 1}}`:       "&lt; \\' a+b 6 [1 2] 0,1,2 a\nb",
		`{{$l := list}}{{range $i := until 2000}}{{$l = append $l (printf "node-%04d" $i)}}{{end}}{{len (uniq (slice $l 0 500))}}`:          "500",
	} {
		actions, err := Actions(testSource(), taskOf(source), "linux")
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got := actions[0].Content; got != want {
			t.Errorf("%s: got %q, want %q", source, got, want)
		}
	}
}
