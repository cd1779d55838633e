/**
 * Planted faults of folds in chunks: wrong fills, ranges, pivots, steps and merged fetches, as a mistake in tile or vectors would make them.
 *
 *   for turn { staged[p] = x[min(64 · c + p, n - 1)] }   →   for turn { held[p] = x[64 · c + p] }      a fill beyond the end
 *
 * They find their places by the names that tile gives.
 */
import { add, apply, fetch, lane, literal, mul, rewrite, walk } from "../../compiler/ir/expression.js"
import type { LoopKernel, Statement } from "../../compiler/ir/loop.js"
import { everyStatement, mapExpressions } from "../../compiler/ir/loop-visit.js"
import type { Expression, Fetch, OperationNode } from "../../compiler/ir/nodes.js"
import type { Operation } from "../../compiler/ir/operations.js"
import { changeLoops, type Rules } from "./mutate.js"

/** A change of the n-th place, or undefined when there is no such place. */
export type ChunkFault = (loops: LoopKernel, n: number) => LoopKernel | undefined

const isOperation = (x: Expression | undefined, name: Operation): x is OperationNode =>
  x?.kind === "operation" && x.operation === name

// The names that tile gives to what it makes.
const stagedName = /^staged_/
const pivotName = /_pivot\d+_\d+$/
const oldName = /_pivot\d+_old_\d+$/
const fetches = (x: Expression | undefined, name: RegExp): x is Fetch => x?.kind === "fetch" && name.test(x.array)

function contains(x: Expression, see: (x: Expression) => boolean): boolean {
  let found = false
  walk(x, (o) => {
    if (see(o)) found = true
  })
  return found
}

const storesTo = (s: Statement, name: RegExp): boolean =>
  everyStatement([s]).some((o) => o.kind === "store" && name.test(o.array))

/** The n-th list of statements that `change` has another one for. */
function changeLists(
  kernel: LoopKernel,
  change: (body: readonly Statement[]) => readonly Statement[] | undefined,
  n: number,
): LoopKernel | undefined {
  let left = n
  let changed = false
  const visit = (body: readonly Statement[]): readonly Statement[] => {
    const made = changed ? undefined : change(body)
    if (made !== undefined && left-- === 0) {
      changed = true
      return made
    }
    return body.map((s): Statement => {
      if (s.kind === "for" || s.kind === "block") return { ...s, body: visit(s.body) }
      return s.kind === "if" ? { ...s, body: visit(s.body), otherwise: visit(s.otherwise) } : s
    })
  }
  const body = visit(kernel.body)
  return changed ? { ...kernel, body } : undefined
}

const rules =
  (make: Rules | ((loops: LoopKernel) => Rules)): ChunkFault =>
  (loops, n) =>
    changeLoops(loops, typeof make === "function" ? make(loops) : make, n)

/** A barrier dropped: the first of which `beside` holds for the statement before or after it. */
const withoutBarrier =
  (side: -1 | 1): ChunkFault =>
  (loops, n) =>
    changeLists(
      loops,
      (body) => {
        const at = body.findIndex(
          (s, i) => s.kind === "barrier" && body[i + side] !== undefined && storesTo(body[i + side]!, stagedName),
        )
        return at < 0 ? undefined : body.filter((_, i) => i !== at)
      },
      n,
    )

const letOf = (name: RegExp, change: (value: Expression) => Expression) =>
  rules({
    statement: (s) => (s.kind === "let" && name.test(s.name) ? [{ ...s, value: change(s.value) }] : undefined),
  })

/** The branches of a chunk of scores: all count, or each is looked at. */
const isMaskChoice = (s: Statement): s is Statement & { kind: "if" } =>
  s.kind === "if" &&
  s.otherwise.length > 0 &&
  s.body.some((b) => storesTo(b, stagedName)) &&
  s.otherwise.some((b) => storesTo(b, stagedName))

const ofMaskChoice = (change: (s: Statement & { kind: "if" }) => readonly Statement[] | undefined) =>
  rules({ statement: (s) => (isMaskChoice(s) ? change(s) : undefined) })

/** Without the ends that coordinates are kept within. */
const unclamped = (x: Expression): Expression =>
  rewrite(x, (o) => (isOperation(o, "min") && o.dtype === "i32" ? unclamped(o.args[0]!) : undefined))

const shifts = (x: Expression): x is OperationNode =>
  isOperation(x, "exp") && isOperation(x.args[0], "sub") && fetches(x.args[0].args[0], oldName)

/** Wrong loops of folds in chunks, as tile makes them. */
export const chunkFaults: Readonly<Record<string, ChunkFault>> = {
  "no barrier before a fill": withoutBarrier(1),
  "no barrier after a fill": withoutBarrier(-1),
  "a fill reaches beyond the end": rules({
    statement: (s) => {
      if (s.kind !== "store" || !stagedName.test(s.array)) return undefined
      const change = (x: Expression): Expression =>
        rewrite(x, (o) =>
          o.kind === "fetch" && !stagedName.test(o.array) && unclamped(o.offset) !== o.offset
            ? fetch(o.array, unclamped(o.offset), o.dtype, o.width)
            : undefined,
        )
      return change(s.value) === s.value ? undefined : [mapExpressions(s, change)]
    },
  }),
  "sums do not move with the pivot": rules({ expression: (x) => (shifts(x) ? literal(1, "f32") : undefined) }),
  "pivot before and after swapped": rules({
    expression: (x) => {
      if (!shifts(x) || !isOperation(x.args[0], "sub")) return undefined
      const [a, b] = x.args[0].args
      return apply("exp", apply("sub", b!, a!))
    },
  }),
  "weights of the pivot before": rules((loops) => {
    const arrays = everyStatement(loops.body).flatMap((s) => (s.kind === "alloc" ? [s.name] : []))
    return {
      expression: (x) => {
        if (!isOperation(x, "exp") || !isOperation(x.args[0], "sub")) return undefined
        const [score, kept] = x.args[0].args
        // Kept finite.
        const pivot = isOperation(kept, "looseMax") ? kept.args[0]! : kept!
        if (!fetches(score, stagedName) || oldName.test(score.array) || !fetches(pivot, pivotName)) return undefined
        const stem = pivot.array.replace(/_\d+$/, "_old_")
        const old = arrays.find((a) => a.startsWith(stem))
        return old === undefined ? undefined : apply("exp", apply("sub", score, fetch(old, pivot.offset, "f32")))
      },
    }
  }),
  "a pivot begins at 0": rules({
    statement: (s) =>
      s.kind === "store" &&
      pivotName.test(s.array) &&
      s.value.kind === "literal" &&
      s.value.value === Number.NEGATIVE_INFINITY
        ? [{ ...s, value: literal(0, "f32") }]
        : undefined,
  }),
  "a range ends one short": letOf(/^key\d*_end_\d+$/, (v) => apply("max", literal(0), apply("sub", v, literal(1)))),
  "a range begins a chunk late": letOf(/^key\d*_from_\d+$/, (v) => add(v, literal(1))),
  "the mask of a boundary chunk dropped": ofMaskChoice((s) => s.body),
  "a bound of a mask forgotten": ofMaskChoice((s) =>
    isOperation(s.condition, "and") ? [{ ...s, condition: s.condition.args[0]! }] : undefined,
  ),
  "what is left of the last chunk dropped": rules({
    statement: (s) => {
      if (s.kind !== "block" || s.body[1]?.kind !== "if") return undefined
      return [{ ...s, body: s.body.slice(0, 1) }]
    },
  }),
  "what is left is that of the chunk before": rules({
    statement: (s) => {
      const [number, rest] = s.kind === "block" ? s.body : []
      if (s.kind !== "block" || number?.kind !== "let" || rest?.kind !== "if") return undefined
      const value = apply("max", literal(0), apply("sub", number.value, literal(1)))
      return [{ ...s, body: [{ ...number, value }, rest] }]
    },
  }),
  "a step takes the element before": rules({
    expression: (x) => {
      if (!isOperation(x, "add") || x.dtype !== "i32") return undefined
      const [turn, at] = x.args
      const own =
        isOperation(turn, "mul") && turn.args[0]!.kind === "variable" && /^key\d*_\d+$/.test(turn.args[0].name)
      if (!own || at?.kind !== "literal" || at.value < 1) return undefined
      return add(turn, literal(at.value - 1))
    },
  }),
  "a read of what is staged forgets the pad": rules({
    expression: (x) => {
      if (!fetches(x, stagedName)) return undefined
      let changed = false
      const offset = rewrite(x.offset, (o) => {
        if (changed || !isOperation(o, "mul") || o.args[1]?.kind !== "literal" || o.args[1].value < 2) return undefined
        changed = true
        return mul(o.args[0]!, literal(o.args[1].value - 1))
      })
      return changed && x.width === 1 ? fetch(x.array, offset, x.dtype) : undefined
    },
  }),
  "odd places one further than they lie": rules({
    statement: (s) => {
      if (s.kind !== "store" || !stagedName.test(s.array)) return undefined
      const halved = (x: Expression, name: Operation) =>
        isOperation(x, name) && x.args[1]?.kind === "literal" && x.args[1].value === 2 ? x.args[0] : undefined
      const interleaved = new Set<Expression>()
      walk(s.offset, (x) => {
        const of = halved(x, "floormod")
        if (of !== undefined) interleaved.add(of)
      })
      const offset = rewrite(s.offset, (x) => {
        const of = halved(x, "floordiv")
        return of !== undefined && interleaved.has(of) ? apply("floordiv", add(of, literal(1)), literal(2)) : undefined
      })
      return offset === s.offset ? undefined : [{ ...s, offset }]
    },
  }),
  "sums of a turn not kept": rules({
    statement: (s) => {
      if (s.kind !== "for") return undefined
      const kept = (o: Statement) => o.kind === "store" && /^kept_/.test(o.array)
      const reads = s.body.some((o) => o.kind === "let" && fetches(o.value, /^kept_/))
      return reads && s.body.some(kept) ? [{ ...s, body: s.body.filter((o) => !kept(o)) }] : undefined
    },
  }),
  "sums of a turn kept in the next place": rules({
    statement: (s) =>
      s.kind === "store" && /^kept_/.test(s.array) && s.offset.kind !== "literal"
        ? [{ ...s, offset: add(s.offset, literal(s.value.width)) }]
        : undefined,
  }),
  "a store along with another made by all lanes": rules((loops) => {
    const outputs = new Set(loops.buffers.flatMap((b) => (b.access === "read" ? [] : [b.name])))
    const first = (c: Expression) => contains(c, (x) => isOperation(x, "eq") && x.args[1]?.kind === "literal")
    return {
      statement: (s) =>
        s.kind === "if" && s.body.every((o) => o.kind !== "store" || outputs.has(o.array)) && first(s.condition)
          ? [{ kind: "block", body: s.body }]
          : undefined,
    }
  }),
}

/** Wrong loops with fetches side by side as one. */
export const mergedFaults: Readonly<Record<string, ChunkFault>> = {
  "a merged fetch with the wrong lane": rules({
    expression: (x) =>
      x.kind === "lane" && x.of.kind === "variable" && /^wide_\d+$/.test(x.of.name)
        ? lane(x.of, x.lane === 0 ? 1 : x.lane - 1)
        : undefined,
  }),
  "a merged fetch one vector on": rules({
    statement: (s) =>
      s.kind === "let" && /^wide_\d+$/.test(s.name) && s.value.kind === "fetch" && s.value.width === 4
        ? [{ ...s, value: fetch(s.value.array, add(s.value.offset, literal(4)), s.value.dtype, 4) }]
        : undefined,
  }),
}
