package api

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestErrorTravelsAsJSON(t *testing.T) {
	sent := &Error{Sentence: "no such connection", Hint: "sluice ls", Code: CodeUsage}
	body, err := json.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"error":"no such connection","hint":"sluice ls","code":2}`; string(body) != want {
		t.Errorf("got %s, want %s", body, want)
	}
	var got Error
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(*sent, got); d != "" {
		t.Error(d)
	}
}

func TestErrorIsFoundWhenWrapped(t *testing.T) {
	inner := &Error{Sentence: "refused", Code: CodeRefused}
	got, ok := AsError(fmt.Errorf("open orders: %w", inner))
	if !ok || got != inner {
		t.Errorf("got %v, %v", got, ok)
	}
	if _, ok := AsError(fmt.Errorf("plain")); ok {
		t.Error("a plain error was taken for one meant for people")
	}
}

func TestStatusOfAnUnknownCodeIsNotSuccess(t *testing.T) {
	for code := -1; code < 10; code++ {
		if s := (&Error{Code: code}).Status(); s < 400 {
			t.Errorf("code %d gives HTTP %d", code, s)
		}
	}
}

func TestZeroDecisionDenies(t *testing.T) {
	var d AskDecision
	if err := json.Unmarshal([]byte(`{}`), &d); err != nil {
		t.Fatal(err)
	}
	if d.Grant {
		t.Error("an empty answer grants")
	}
}
