package facts_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"muster/facts"
)

func TestTheDocumentListsExactlyTheKeysOfASheet(t *testing.T) {
	doc, err := os.ReadFile("../docs/facts.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|[^|]+\\|[^|]+\\|[^|]+\\|$").FindAllSubmatch(doc, -1) {
		documented = append(documented, string(row[1]))
	}
	if diff := cmp.Diff(keys(reflect.TypeFor[facts.Sheet](), ""), documented); diff != "" {
		t.Errorf("docs/facts.md (-struct +document):\n%s", diff)
	}
}

func TestTheDocumentGivesTheOrderOfCutting(t *testing.T) {
	doc, err := os.ReadFile("../docs/facts.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(doc), "in this order:")
	list, _, _ = strings.Cut(list, "Cutting")
	list = regexp.MustCompile(`\([^)]*\)`).ReplaceAllString(list, "")
	var documented []string
	for _, name := range regexp.MustCompile("`([a-z]+)`").FindAllStringSubmatch(list, -1) {
		documented = append(documented, name[1])
	}
	if diff := cmp.Diff(order, documented); diff != "" {
		t.Errorf("order of cutting (-code +document):\n%s", diff)
	}
}

// keys lists the paths of all JSON keys of a struct, in the order of its fields.
func keys(t reflect.Type, prefix string) []string {
	var found []string
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		path := prefix + name
		switch field.Type.Kind() {
		case reflect.Struct:
			found = append(found, keys(field.Type, path+".")...)
		case reflect.Slice:
			if field.Type.Elem().Kind() == reflect.Struct {
				found = append(found, keys(field.Type.Elem(), path+"[].")...)
				continue
			}
			found = append(found, path)
		default:
			found = append(found, path)
		}
	}
	return found
}
