package detection

import "github.com/yagura/yagura/sdk/go/internal/abi"

// The sizes in memory of the contract's records.
const (
	ruleSize        = 24
	findingSize     = 52
	ruleFindingSize = 4 + findingSize
)

// readRules lifts the `list<rule>` at an address.
func readRules(memory abi.Memory, address, count uint32) []Rule {
	list := memory.List(address, count, ruleSize)
	rules := make([]Rule, 0, count)
	for ; len(list) >= ruleSize; list = list[ruleSize:] {
		rules = append(rules, Rule{
			ID:     memory.Text(list, 0),
			Config: memory.Text(list, 8),
			Schema: memory.Fields(list, 16),
		})
	}
	return rules
}

// answerRules lowers a `list<string>`.
func answerRules(ids []string) *abi.Answer {
	answer := abi.NewAnswer(8)
	answer.PutTexts(0, ids)
	return answer
}

// answerNothing lowers a `result<_, plugin-error>`.
func answerNothing(failure *abi.Error) *abi.Answer {
	return abi.NewResult(abi.ResultSize, failure)
}

// answerBytes lowers a `result<list<u8>, plugin-error>`.
func answerBytes(bytes []byte, failure *abi.Error) *abi.Answer {
	answer := answerNothing(failure)
	if failure == nil {
		answer.PutBytes(abi.ResultValue, bytes)
	}
	return answer
}

// answerFindings lowers a `result<list<finding>, plugin-error>`.
func answerFindings(findings []*Finding, failure *abi.Error) *abi.Answer {
	answer := answerNothing(failure)
	if failure != nil {
		return answer
	}
	start := answer.PutList(abi.ResultValue, len(findings), findingSize, 4)
	for index, finding := range findings {
		putFinding(answer, start+findingSize*index, finding)
	}
	return answer
}

// answerRuleFindings lowers a `result<list<tuple<u32, finding>>, plugin-error>`.
func answerRuleFindings(findings []RuleFinding, failure *abi.Error) *abi.Answer {
	answer := answerNothing(failure)
	if failure != nil {
		return answer
	}
	start := answer.PutList(abi.ResultValue, len(findings), ruleFindingSize, 4)
	for index, finding := range findings {
		at := start + ruleFindingSize*index
		answer.PutUint32(at, finding.Rule)
		putFinding(answer, at+4, finding.Finding)
	}
	return answer
}

func putFinding(answer *abi.Answer, at int, finding *Finding) {
	rows := answer.PutList(at, len(finding.Rows), 4, 4)
	for index, row := range finding.Rows {
		answer.PutUint32(rows+4*index, row)
	}
	answer.PutOptionalText(at+8, finding.Title)
	if finding.Severity != 0 {
		answer.PutByte(at+20, 1)
		answer.PutByte(at+21, finding.Severity-1)
	}
	answer.PutOptionalText(at+24, finding.Key)
	answer.PutPairs(at+36, finding.Observables)
	answer.PutPairs(at+44, finding.Context)
}
