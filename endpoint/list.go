package endpoint

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/filter"
)

func notAcceptable(msg string) *models.Error {
	return models.NewError("", http.StatusNotAcceptable, msg)
}

// maxOptions bounds the options of one request, filters and sort keys included.
const maxOptions = 100

// listOptions says which objects a client wants to see and in which order.
type listOptions struct {
	view    viewOptions
	fields  []field // that filters and sort look at
	filters []fieldFilter
	sort    []int // into fields
	reverse bool
	offset  int
	limit   int // -1: all
}

// fieldFilter holds for an object if any of its conditions does.
type fieldFilter struct {
	field int // into fields
	any   []filter.Condition
}

// listObjects answers GET and HEAD of a type. Objects that p may not list are
// left out, as if they did not exist: without any permission the list is empty.
// Filters can take long, so they run on a snapshot and hold nobody up.
func (s *Server) listObjects(prefix string) handler {
	return func(w http.ResponseWriter, r *http.Request, p *principal) error {
		t := s.store.snapshot()
		o, err := s.parseList(t, prefix, r.URL.Query())
		if err != nil {
			return err
		}
		var visible []*record
		for _, rec := range t.records(prefix) {
			if p.can(prefix, "list", rec.authKey()) {
				visible = append(visible, rec)
			}
		}
		chosen := o.choose(t, visible)
		out := new(bytes.Buffer)
		if err := o.write(t, p, out, chosen); err != nil {
			return err
		}
		w.Header().Set("X-DRP-LIST-TOTAL-COUNT", strconv.Itoa(len(visible)))
		w.Header().Set("X-DRP-LIST-COUNT", strconv.Itoa(len(chosen)))
		return writeJSON(w, http.StatusOK, json.RawMessage(out.Bytes()))
	}
}

// parseList reads the options from a query. Every other key of the query must be
// an index, a Meta field or a declared param to filter by.
func (s *Server) parseList(t *tx, prefix string, q url.Values) (o listOptions, err error) {
	options := 0
	for _, values := range q {
		options += len(values)
	}
	if options > maxOptions {
		return o, notAcceptable(fmt.Sprintf("Expected at most %d filters and other options, found %d", maxOptions, options))
	}
	if o.view, err = s.parseView(q); err != nil {
		return o, err
	}
	if q.Has("aggregate") && s.store.compat313 {
		return o, notAcceptable("Filter not found: aggregate")
	}
	if o.reverse, err = flag(q, "reverse"); err != nil {
		return o, err
	}
	if o.offset, err = count(q, "offset", 0); err != nil {
		return o, err
	}
	if o.limit, err = count(q, "limit", -1); err != nil {
		return o, err
	}
	for _, name := range q["sort"] {
		f, err := t.field(prefix, name)
		if err != nil {
			return o, err
		}
		o.sort = append(o.sort, len(o.fields))
		o.fields = append(o.fields, f)
	}
	for name, values := range q {
		if strings.EqualFold(name, "token") && !s.store.compat313 {
			continue // a credential; 3.13 takes it for a filter
		}
		switch name {
		case "aggregate", "decode", "limit", "offset", "params", "reverse", "slim", "sort":
			continue
		}
		f, err := t.field(prefix, name)
		if err != nil {
			return o, err
		}
		wanted := fieldFilter{field: len(o.fields)}
		for _, v := range values {
			c, err := filter.Parse(f.kind, v)
			if err != nil {
				return o, notAcceptable("Invalid value for " + name + ": " + err.Error())
			}
			wanted.any = append(wanted.any, c)
		}
		o.fields = append(o.fields, f)
		o.filters = append(o.filters, wanted)
	}
	return o, nil
}

func count(q url.Values, name string, unset int) (int, error) {
	if !q.Has(name) {
		return unset, nil
	}
	n, err := strconv.Atoi(q.Get(name))
	if err != nil || n < 0 {
		return 0, notAcceptable("Invalid value for " + name + ": expected a number, 0 or more")
	}
	return n, nil
}

// choose filters, sorts and cuts.
func (o listOptions) choose(t *tx, recs []*record) []*record {
	type candidate struct {
		rec    *record
		values [][]byte
	}
	var found []candidate
	for _, rec := range recs {
		values := t.values(rec, o.fields, o.view.aggregate)
		if o.wants(values) {
			found = append(found, candidate{rec, values})
		}
	}
	slices.SortStableFunc(found, func(a, b candidate) int {
		for _, i := range o.sort {
			if c := filter.Compare(a.values[i], b.values[i]); c != 0 {
				return c
			}
		}
		return 0
	})
	chosen := make([]*record, len(found))
	for i, c := range found {
		chosen[i] = c.rec
	}
	if o.reverse {
		slices.Reverse(chosen)
	}
	chosen = chosen[min(o.offset, len(chosen)):]
	if o.limit >= 0 {
		chosen = chosen[:min(o.limit, len(chosen))]
	}
	return chosen
}

// wants reports whether every filter holds for an object with these values.
func (o listOptions) wants(values [][]byte) bool {
	for _, f := range o.filters {
		if !slices.ContainsFunc(f.any, func(c filter.Condition) bool { return c.Holds(values[f.field]) }) {
			return false
		}
	}
	return true
}

// write writes the objects. Secure params stay sealed where p may not open them.
func (o listOptions) write(t *tx, p *principal, out *bytes.Buffer, recs []*record) error {
	out.WriteByte('[')
	for i, rec := range recs {
		view := o.view
		view.decode = view.allow(p, rec) == nil && view.decode
		shown, err := view.show(t, rec)
		if err != nil {
			return err
		}
		if i > 0 {
			out.WriteByte(',')
		}
		out.Write(shown)
	}
	out.WriteByte(']')
	return nil
}
