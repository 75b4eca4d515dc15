package endpoint

import (
	"io"
	"net/http"
	"time"

	"gitlab.com/rackn/provision/v4/models"

	"muster/endpoint/render"
)

// machineVerbs are the routes below one machine that are not about its fields,
// params or tokens, as drpcli has them. 3.13 has none of them.
func (s *Server) machineVerbs(prefix string) []route {
	one := "/" + prefix + "/{key}"
	return []route{
		{"PATCH", one + "/start", s.startMachine},
		{"DELETE", one + "/cleanup", s.deleteObject("machines")},
		{"POST", one + "/render", s.renderText},
		{"POST", one + "/pick/{agent}", s.pickWorkOrder},
	}
}

// startMachine answers PATCH /machines/{id}/start: the patch finds a machine that
// is in no workflow and not runnable, so that the workflow that it sets begins
// anew even if it is the present one.
func (s *Server) startMachine(w http.ResponseWriter, r *http.Request, p *principal) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	ops, badPatch := parsePatch(body)
	var rec *record
	err = s.store.update(p.name, func(t *tx) error {
		old, err := t.writable(p, "machines", r.PathValue("key"), ops.Claims("")...)
		if err == nil {
			err = old.patchable(p, badPatch, patchConflict)
		}
		if err != nil {
			return err
		}
		m := old.model().(*models.Machine)
		m.Workflow, m.Runnable = "", false
		if err := t.put(m); err != nil {
			return err
		}
		rec, err = t.patch(t.record("machines", old.key), ops)
		return err
	})
	if err != nil {
		return err
	}
	return s.writeRecord(w, http.StatusOK, rec)
}

// pickWorkOrder answers POST /machines/{id}/pick/{agent}, by which an agent asks
// for a work order.
func (s *Server) pickWorkOrder(w http.ResponseWriter, r *http.Request, p *principal) error {
	return s.store.view(func(t *tx) error {
		rec, err := t.writable(p, "machines", r.PathValue("key"), "update")
		if err != nil {
			return err
		}
		return refuse(rec.head, "Work orders are not run")
	})
}

// renderText answers POST /machines/{id}/render with what the template in the body
// becomes for the machine. Templates can make tokens and open secure params.
func (s *Server) renderText(w http.ResponseWriter, r *http.Request, p *principal) error {
	text, err := readAll(w, r, maxBody)
	if err != nil {
		return err
	}
	return s.renderFor(w, p, r.PathValue("key"), models.TemplateInfo{Name: "text", Contents: string(text)})
}

// renderTemplate answers GET /templates/{id}/render/{machine}.
func (s *Server) renderTemplate(w http.ResponseWriter, r *http.Request, p *principal) error {
	err := s.store.view(func(t *tx) error {
		_, err := t.readable(p, "templates", r.PathValue("key"))
		return err
	})
	if err != nil {
		return err
	}
	return s.renderFor(w, p, r.PathValue("machine"), models.TemplateInfo{Name: "render", ID: r.PathValue("key")})
}

func (s *Server) renderFor(w http.ResponseWriter, p *principal, machine string, info models.TemplateInfo) error {
	var src render.Source
	err := s.store.view(func(t *tx) error {
		rec, err := t.writable(p, "machines", machine, "getSecure", "token")
		if err != nil {
			return err
		}
		m := rec.head.(*models.Machine)
		src, err = s.renderSource(t, &models.Job{Uuid: m.CurrentJob, Machine: m.Uuid})
		return err
	})
	if err != nil {
		return err
	}
	out, err := render.One(src, info)
	if err != nil {
		return refuse(src.Machine, "%s", err.Error())
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTime))
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = io.WriteString(w, out) // the client is gone: nobody is left to be told
	return nil
}
