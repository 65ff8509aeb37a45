package reviewer_test

import (
	"strings"
	"testing"

	"github.com/yagura/yagura/sdk/go/plugin"
	"github.com/yagura/yagura/sdk/go/reviewer"
	"github.com/yagura/yagura/sdk/go/yaguratest"
)

// says is a reviewer that says what the test wants.
type says struct{ assessment *plugin.Assessment }

var said says

func (says) Review(*plugin.Alert, plugin.Attributes) (*plugin.Assessment, error) {
	return said.assessment, nil
}

func init() {
	reviewer.Serve(func(*plugin.Config) (reviewer.Reviewer, error) { return says{}, nil })
}

func TestAnAssessmentWithoutSeverityLeavesTheAlertsAndStaysTheAuthors(t *testing.T) {
	said.assessment = &plugin.Assessment{Verdict: plugin.Suspicious, Reason: "odd"}
	assessment, err := yaguratest.Review("", yaguratest.NewAlert())
	if err != nil || *assessment != (plugin.Assessment{Severity: plugin.Medium, Verdict: plugin.Suspicious, Reason: "odd"}) {
		t.Errorf("%+v, %v", assessment, err)
	}
	if said.assessment.Severity != 0 {
		t.Error("the author's own assessment was changed")
	}
	said.assessment = &plugin.Assessment{Severity: 9}
	if _, err := yaguratest.Review("", yaguratest.NewAlert()); err == nil || !strings.Contains(err.Error(), "severity 9") {
		t.Errorf("%v", err)
	}
}
