/**
 * prefixes: tensor → tensor. A prefix along a long axis takes work in proportion to its elements.
 *
 *   scan sum over n of x   →   within = scan sum over n of x, again each 16
 *                              totals = Σ_{i < 16} x[16 · c + i]              for each whole block c < n // 16
 *                              before = scan sum over c of totals             rewritten in the same way
 *                              y[n]   = n < 16 ? within[n] : before[n // 16 − 1] + within[n]
 *
 * A scan that is folded place by place takes n² / 2 steps. In blocks each place folds what is before it in its own (`tile/prefix.ts`: each
 * from the one before), and takes what the blocks before hold from a scan of a sixteenth of the length: a few steps for each element, whatever
 * the order of the axes. The last block need not be whole, for nobody asks for its total.
 *
 * Error of a sum in f32: an element is added to its block in 5 steps, for four quarters are folded side by side, and once more for each time
 * that its block is one of those before: 6 roundings for 16-fold the length. So a place is off by (1.5 · log2 n + 16) · 2^-24 · Σ|x| at most,
 * when all roundings go one way. The 16 are the places of a block that is not whole, which are folded in order.
 */
import { type Dim, maximum } from "../ir/dim.js"
import { add, apply, identity, literal, mul, sub, variable } from "../ir/expression.js"
import type { Expression } from "../ir/nodes.js"
import type { Operation } from "../ir/operations.js"
import * as ir from "../ir/tensor.js"
import { rewritten, type Units } from "./rewrite.js"

export interface PrefixLimits {
  /** Places of a block. */
  readonly block: number
  /** Axes of at most so many elements (a block or more) are folded place by place, */
  readonly extent: number
  /** and those that take at most so many steps in all, unless they are sums that round. */
  readonly steps: number
}

/** As many steps as are cheaper than the kernels of blocks (`cuts.ts`). */
export const defaultPrefixLimits: PrefixLimits = { block: 16, extent: 32, steps: 16384 }

const combination: Readonly<Record<string, Operation>> = { sum: "add", max: "max", min: "min" }

/** Equal programs with the same inputs, in which no long axis is scanned place by place. */
export function blockPrefixes(
  roots: readonly ir.Tensor[],
  limits: PrefixLimits = defaultPrefixLimits,
  units: Units = new Map(),
): readonly ir.Tensor[] {
  return rewritten(roots, () => (t) => (t.kind === "scan" && isLong(t, limits) ? inBlocks(t, limits) : t), units)
}

/** Whether a scan takes many steps, or a sum many roundings, at its largest: a size that is known at a run only may be any. */
function isLong(t: ir.Scan, { extent, steps }: PrefixLimits): boolean {
  if (t.block !== undefined || combination[t.monoid.kind] === undefined || t.dtype === "bool") return false
  const length = maximum(ir.axisOf(t, t.axis)!.extent)
  const elements = t.axes.reduce((n, a) => n * Math.max(1, maximum(a.extent)), 1)
  return length > extent && (rounds(t) || (elements * length) / 2 > steps)
}

/** Whether the order of folding is seen in the result. */
const rounds = (t: ir.Scan): boolean => t.monoid.kind === "sum" && t.dtype === "f32"

function inBlocks(t: ir.Scan, limits: PrefixLimits): ir.Tensor {
  const size = literal(limits.block)
  const along = ir.axisOf(t, t.axis)!
  const named = (part: string, extent: Dim): ir.Axis => ({ name: `${t.axis}.${part}.${identity(t.arg)}`, extent })
  const block = named("block", apply("floordiv", along.extent, size))
  const number = apply("floordiv", variable(t.axis), size)
  const others = (axes: readonly ir.Axis[]) =>
    axes.filter((a) => a !== along && t.axes.includes(a)).map((a) => [a.name, variable(a.name)] as const)
  const marked = <T extends ir.Tensor>(made: T): T => {
    ir.mark(made, ir.spansOf(t))
    return made
  }

  const sums = marked(ir.scan(t.monoid, block.name, marked(totals())) as ir.Scan)
  const upTo = isLong(sums, limits) ? inBlocks(sums, limits) : sums
  const place = new Map([...others(t.axes), [block.name, sub(number, literal(1))] as const])
  const before = ir.reindex(upTo, t.axes, place, apply("ge", number, literal(1)), 0)
  const within = marked(ir.scan(t.monoid, t.axis, t.arg, limits.block))
  const [a, b] = [variable("$0", t.dtype), variable("$1", t.dtype)]
  const isFirst = apply("lt", apply("floordiv", variable("$2"), size), literal(1))
  const joined = apply("select", isFirst, b, apply(combination[t.monoid.kind]!, a, b))
  return ir.map(joined, [before, within, ir.iota(along, literal(0))])

  /** What each whole block holds. */
  function totals(): ir.Tensor {
    const parts = rounds(t) && limits.block % 4 === 0 ? 4 : 1
    const member = named("member", literal(limits.block / parts))
    const axes = t.axes.flatMap((x) => (x === along ? [block, member] : [x]))
    const folded = Array.from({ length: parts }, (_, i) => {
      const from = add(mul(variable(block.name), size), literal((i * limits.block) / parts))
      const at = new Map([...others(axes), [t.axis, add(from, variable(member.name))] as const])
      return ir.reduce(t.monoid, member.name, [ir.reindex(t.arg, axes, at)])
    })
    if (parts === 1) return folded[0]!
    const [p, q, r, s] = folded.map((_, i) => variable(`$${i}`, t.dtype)) as [
      Expression,
      Expression,
      Expression,
      Expression,
    ]
    return ir.map(add(add(p, q), add(r, s)), folded)
  }
}
