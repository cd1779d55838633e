/**
 * outputs: tensor → tensor. Each output has memory of its own.
 */
import { variable } from "../ir/expression.js"
import * as ir from "../ir/tensor.js"

/** The outputs, each in memory of its own: what is an input, a state, a constant or another output already is copied. */
export function ownOutputs(outputs: readonly ir.Tensor[]): readonly ir.Tensor[] {
  const seen = new Set<ir.Tensor>()
  return outputs.map((given) => {
    let tensor = given
    while (seen.has(tensor) || !ownsMemory(tensor)) tensor = ir.map(variable("$0", tensor.dtype), [tensor])
    seen.add(tensor)
    return tensor
  })
}

function ownsMemory(t: ir.Tensor): boolean {
  if (t.kind !== "call") return t.kind !== "input" && t.kind !== "update" && t.kind !== "constant"
  const { results } = t.unit
  return ownsMemory(results[t.result]!) && results.indexOf(results[t.result]!) === t.result
}
