/**
 * unpack: tensor → tensor. What is stored in a format becomes its planes, and a map that decodes.
 *
 *   Σ_k x[k] · w[o, k], w in q4_0   →   Σ_k x[k] · decode(codes[o, k / 8] >> 4 (k mod 8) & 15, scale[o, k / 32])
 *
 * Where integers are asked for, products with some formats become sums of them instead (`integer-sums.ts`). The last of the passes: the others see an input
 * of f32, as they do where it is stored in bf16. Units take the planes in its place.
 */
import { memoized } from "../ir/memoized.js"
import { expressions, type Packed } from "../ir/tensor/formats.js"
import { planesOf } from "../ir/tensor/planes.js"
import { rebuild, sources, topological } from "../ir/tensor/walk.js"
import * as ir from "../ir/tensor.js"
import { integerSum } from "./integer-sums.js"
import { createArguments, fieldsRead } from "./plane-reads.js"
import type { Units } from "./rewrite.js"

/** Equal programs without inputs in formats, but for what is rounded to `integers` where that is asked for; `units` serves several calls. */
export function unpack(roots: readonly ir.Tensor[], units: Units = new Map(), integers = false): readonly ir.Tensor[] {
  const made = new Map<ir.Tensor, ir.Tensor>()
  // What is new has its operands unpacked.
  const unpackedOf = (t: ir.Tensor): ir.Tensor => made.get(t) ?? unpacked(t, { get: unpackedOf })
  for (const t of topological(roots)) {
    const sum = integers ? integerSum(t, unpackedOf) : undefined
    const now = sum ?? (t.kind === "call" ? called(t, made, units, integers) : unpacked(t, made))
    ir.mark(now, ir.spansOf(t))
    made.set(t, now)
  }
  return roots.map((t) => made.get(t)!)
}

const unpacked = (t: ir.Tensor, made: { get(t: ir.Tensor): ir.Tensor | undefined }): ir.Tensor =>
  t.kind === "input" && t.packed !== undefined
    ? decoded(t, t.packed)
    : rebuild(
        t,
        sources(t).map((s) => made.get(s)!),
      )

/** A call with planes for the inputs in formats. */
function called(t: ir.Call, made: ReadonlyMap<ir.Tensor, ir.Tensor>, units: Units, integers: boolean): ir.Tensor {
  const unit = memoized(
    (u: ir.Unit) =>
      ir.unit(
        u.name,
        u.inputs.flatMap((x) => planesOf(x)),
        unpack(u.results, units, integers),
      ),
    units,
  )(t.unit)
  const args = t.args.flatMap((arg, i): readonly ir.Tensor[] =>
    t.unit.inputs[i]!.packed ? planesOf(arg as ir.Input) : [made.get(arg)!],
  )
  return ir.call(unit, args, t.result)
}

/** The weights that the planes of an input stand for. */
function decoded(t: ir.Input, packed: Packed): ir.Tensor {
  const { planes, decode } = packed.format
  const args = createArguments()
  return ir.map(decode(expressions, fieldsRead(t, packed, planes, args)), args.list)
}
