// The rule root-login in JavaScript, against the contract as it is: a column is bytes (wit/v0.1.0/types.wit).

/** Returns a function from row to text, null where the value is NULL. */
function texts(column) {
  const { buffer, byteOffset, byteLength } = column.offsets;
  const offsets = new DataView(buffer, byteOffset, byteLength);
  const decoder = new TextDecoder();
  return (row) => {
    if (column.validity.length && !((column.validity[row >> 3] >> (row & 7)) & 1)) return null;
    return decoder.decode(
      column.values.subarray(offsets.getUint32(row * 4, true), offsets.getUint32(row * 4 + 4, true)),
    );
  };
}

/** For each rule of `open`, its columns' places by name. */
let places = [];

export const detection = {
  rules: () => ["root-login"],
  open(config, rules) {
    places = rules.map((rule) => Object.fromEntries(rule.schema.map((field, place) => [field.name, place])));
  },
  onBatch(rule, batch) {
    const userType = texts(batch.columns[places[rule]["user_type"]]);
    const mfa = texts(batch.columns[places[rule]["additional_event_data.MFAUsed"]]);
    const findings = [];
    for (let row = 0; row < batch.rows; row++) {
      if (userType(row) !== "Root") continue;
      const finding = { rows: new Uint32Array([row]), observables: [], context: [] };
      if (mfa(row) !== "Yes") {
        finding.severity = "critical";
        finding.title = "Root login without a second factor";
      }
      findings.push(finding);
    }
    return findings;
  },
  onWatermark: () => [],
  snapshot: () => new Uint8Array(),
  restore() {},
};
