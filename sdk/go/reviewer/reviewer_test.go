package reviewer_test

import (
	"strings"
	"testing"

	"github.com/yagura/yagura/sdk/go/plugin"
	"github.com/yagura/yagura/sdk/go/reviewer"
	"github.com/yagura/yagura/sdk/go/yaguratest"
)

// says is a reviewer that says what the test wants.
type says struct{ opinion *plugin.Opinion }

var said says

func (says) Review(*plugin.Alert, plugin.Attributes) (*plugin.Opinion, error) {
	return said.opinion, nil
}

func init() {
	reviewer.Serve(func(*plugin.Config) (reviewer.Reviewer, error) { return says{}, nil })
}

func TestAnOpinionWithoutSeverityLeavesTheAlertsAndStaysTheAuthors(t *testing.T) {
	said.opinion = &plugin.Opinion{Verdict: plugin.Suspicious, Reason: "odd"}
	opinion, err := yaguratest.Review("", yaguratest.NewAlert())
	if err != nil || *opinion != (plugin.Opinion{Severity: plugin.Medium, Verdict: plugin.Suspicious, Reason: "odd"}) {
		t.Errorf("%+v, %v", opinion, err)
	}
	if said.opinion.Severity != 0 {
		t.Error("the author's own opinion was changed")
	}
	said.opinion = &plugin.Opinion{Severity: 9}
	if _, err := yaguratest.Review("", yaguratest.NewAlert()); err == nil || !strings.Contains(err.Error(), "severity 9") {
		t.Errorf("%v", err)
	}
}
