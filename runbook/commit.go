package runbook

import (
	"context"
	"time"
)

// settleEvery and settleTries bound how long a server may take to notice that a
// session is gone, and to end its transaction.
const (
	settleEvery = 250 * time.Millisecond
	settleTries = 60
)

// commit makes last what the open transaction did. Its number is kept before, so that
// what became of it can be found out later. wrote says that there was something to
// make last.
func (r *runner) commit(ctx context.Context, id *string) (wrote bool, f *Failure) {
	res, f := r.send(ctx, TransactionID, nil)
	if f != nil {
		return false, f
	}
	*id = ""
	if len(res.Rows) == 1 && len(res.Rows[0]) == 1 && res.Rows[0][0] != nil {
		*id = *res.Rows[0][0]
	}
	wrote = *id != ""
	if f := r.save(); f != nil {
		return false, f
	}
	res, f = r.send(ctx, Commit, nil)
	switch {
	case f == nil && res.Tag == "COMMIT":
		*id = ""
		return wrote, nil
	case f == nil:
		*id = ""
		return false, &Failure{Cause: Failed, Sentence: "the transaction had failed, and was undone"}
	case f.Cause != Lost && f.Cause != Interrupted:
		*id = "" // the server said no
		return false, f
	case !wrote:
		return false, f
	}
	done, sf := r.ask(ctx, *id)
	switch {
	case sf != nil:
		r.state.Status = Doubtful
		sf.Sentence = f.Sentence + " while transaction " + *id + " ended, and what became of it cannot be found out: " + sf.Sentence
		sf.Hint = "when the gateway is back: sluice runbook resume " + r.state.Run
		return false, sf
	case !done:
		*id = ""
		return false, f
	}
	*id = "" // it was committed, and only the answer was lost
	return true, nil
}

// ask has the server say what became of a transaction, over a session of its own: what
// was interrupted is no reason to leave it open.
func (r *runner) ask(ctx context.Context, id string) (done bool, f *Failure) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*settleTries*settleEvery)
	defer cancel()
	drop := func() {
		if r.conn != nil {
			r.drop()
		}
	}
	drop()
	defer drop() // what follows is for a session of its own
	r.tell(Event{What: Settling, Text: id})
	for range settleTries {
		res, f := r.send(ctx, TransactionEnd, []*string{&id})
		if f != nil {
			return false, f
		}
		end := ""
		if len(res.Rows) == 1 && len(res.Rows[0]) == 1 && res.Rows[0][0] != nil {
			end = *res.Rows[0][0]
		}
		switch end {
		case "committed":
			return true, nil
		case "aborted":
			return false, nil
		case "in progress":
		default:
			return false, &Failure{Cause: Lost, Sentence: "the server no longer knows of it"}
		}
		if err := r.o.Wait(ctx, settleEvery); err != nil {
			return false, interrupted(err)
		}
	}
	return false, &Failure{Cause: Lost, Sentence: "it is still open on the server"}
}

// settle finds out what became of the transactions that are in doubt.
func (r *runner) settle(ctx context.Context) *Failure {
	end := func(id *string, step string) (bool, *Failure) {
		if r.o.Take != "" {
			*id = ""
			return r.o.Take == TakenDone, nil
		}
		done, f := r.ask(ctx, *id)
		if f != nil {
			r.state.Status, f.Step = Doubtful, step
			f.Hint = "look at the database, and say with --take done or --take not-done what you found"
			return false, f
		}
		*id = ""
		return done, nil
	}
	if r.state.TxID != "" {
		done, f := end(&r.state.TxID, "")
		if f != nil {
			return f
		}
		if done {
			r.state.Status = Done
			return nil
		}
	}
	for i := range r.state.Steps {
		s := &r.state.Steps[i]
		if s.TxID != "" {
			done, f := end(&s.TxID, s.Name)
			switch {
			case f != nil:
				return f
			case done:
				s.Changed = true
				s.turned()
			}
		}
		if s.UndoTxID != "" {
			done, f := end(&s.UndoTxID, s.Name)
			if f != nil {
				return f
			}
			s.Undone = done
		}
	}
	return r.save()
}
