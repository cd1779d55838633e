/**
 * Planted faults: small wrong rewrites of what a pass has made, as a mistake in that pass would make them.
 *
 *   if (first + 4 <= extent)   →   if (first + 4 <= extent + 1)      the mask of the boundary tile, off by one
 *
 * Each changes one place of one program. The laws must find each of them within the normal run; a program without such a place, or one that is
 * right all the same, does not count.
 */
import { symbolsOf } from "../../compiler/ir/dim.js"
import {
  add,
  apply,
  component,
  fetch,
  freeVariables,
  lane,
  literal,
  localRead,
  reduce,
  rewriter,
  scan,
  splat,
} from "../../compiler/ir/expression.js"
import { type Item, mapItem, rootsOf, type Store } from "../../compiler/ir/kernel.js"
import { type LoopKernel, packed, type Statement } from "../../compiler/ir/loop.js"
import { everyStatement } from "../../compiler/ir/loop-visit.js"
import { max, min } from "../../compiler/ir/monoid.js"
import type { Component, Expression } from "../../compiler/ir/nodes.js"
import type { Operation } from "../../compiler/ir/operations.js"
import type { Fused } from "../../compiler/kernel/fuse.js"
import type { Plan } from "../../compiler/plan/plan.js"
import type { Rules } from "./mutate.js"

const isOperation = (x: Expression, name: Operation): x is Expression & { kind: "operation" } =>
  x.kind === "operation" && x.operation === name

const operationFault =
  (name: Operation, change: (args: readonly Expression[], x: Expression) => Expression | undefined) =>
  (x: Expression): Expression | undefined =>
    isOperation(x, name) ? change(x.args, x) : undefined

const onlyConditions =
  (change: (condition: Expression) => Expression | undefined): Rules["statement"] =>
  (s) => {
    if (s.kind !== "if") return undefined
    const condition = change(s.condition)
    return condition === undefined ? undefined : [{ ...s, condition }]
  }

/** Of the loop that waits, another body from what it has beside and the place where it waited. */
const awaitMoved =
  (change: (body: readonly Statement[], at: number) => readonly Statement[]): Rules["statement"] =>
  (s) => {
    if (s.kind !== "for") return undefined
    const at = s.body.findIndex((x) => x.kind === "await")
    if (at < 0) return undefined
    return [
      {
        ...s,
        body: change(
          s.body.filter((x) => x.kind !== "await" && x.kind !== "release"),
          at,
        ),
      },
    ]
  }

/** Wrong loops. */
export const loopFaults: Readonly<Record<string, (loops: LoopKernel) => Rules>> = {
  "boundary mask off by one": () => ({
    statement: onlyConditions(operationFault("le", ([a, b]) => apply("le", a!, add(b!, literal(1))))),
  }),
  "point mask off by one": () => ({
    statement: onlyConditions(
      operationFault("lt", ([a, b]) =>
        a!.kind === "variable" && a.name === "group" ? undefined : apply("le", a!, b!),
      ),
    ),
  }),
  "launches waited for too late": () => ({
    statement: awaitMoved((body) => [...body, { kind: "await" }, { kind: "release" }]),
  }),
  "missing barrier": () => ({ statement: (s) => (s.kind === "barrier" ? [] : undefined) }),
  "wrong identity": () => ({
    statement: (s) =>
      s.kind === "let" && s.mutable && s.value.kind === "literal" && s.value.value === Number.NEGATIVE_INFINITY
        ? [{ ...s, value: literal(0, "f32") }]
        : undefined,
  }),
  "tie taken from the wrong side": (loops) => {
    // Where a comparison of indices is used twice it has a name.
    const named = new Set(
      everyStatement(loops.body).flatMap((s) => (s.kind === "let" && isOperation(s.value, "lt") ? [s.name] : [])),
    )
    return {
      expression: operationFault("and", ([a, b]) => {
        if (!isOperation(a!, "eq")) return undefined
        if (b!.kind === "variable" && named.has(b!.name)) return apply("and", a, apply("not", b!))
        return isOperation(b!, "lt") ? apply("and", a, apply("gt", b!.args[0]!, b!.args[1]!)) : undefined
      }),
    }
  },
  "run that is not counted": () => ({
    statement: (s) => (s.kind === "assign" && /^runs_\d+$/.test(s.name) ? [] : undefined),
  }),
  "wrong bit of the number of runs": () => ({
    expression: operationFault("shr", ([a, b]) =>
      a!.kind === "variable" && /^runs_\d+$/.test(a.name) ? apply("shr", a, add(b!, literal(1))) : undefined,
    ),
  }),
  "level of runs that is not merged": () => ({
    statement: (s) =>
      s.kind === "for" && s.extent.kind === "variable" && /^free_\d+$/.test(s.extent.name)
        ? [{ ...s, extent: add(s.extent, literal(-1)) }]
        : undefined,
  }),
  "run that starts with the one before": () => ({
    statement: (s) => {
      if (s.kind !== "for" || !/_run_\d+$/.test(s.variable)) return undefined
      const fresh = (x: Statement) => x.kind === "let" && x.mutable
      return [...s.body.filter(fresh), { ...s, body: s.body.filter((x) => !fresh(x)) }]
    },
  }),
  "boundary tile dropped": () => ({
    statement: (s) =>
      s.kind === "if" && s.otherwise.length > 0 && s.otherwise[0]!.kind === "for"
        ? [{ ...s, otherwise: [] }]
        : undefined,
  }),
  "tail of a vector fold dropped": () => ({
    statement: (s) => (s.kind === "for" && isOperation(s.extent, "sub") ? [] : undefined),
  }),
  "loop one short": () => ({
    statement: (s) =>
      s.kind === "for" && s.bind === "serial" && s.extent.kind === "literal" && s.extent.value > 1
        ? [{ ...s, extent: literal(s.extent.value - 1) }]
        : undefined,
  }),
  "last block forgotten": () => ({
    statement: (s) =>
      s.kind === "for" && s.bind === "grid" ? [{ ...s, extent: apply("sub", s.extent, literal(1)) }] : undefined,
  }),
  "sections overlap by a block": () => ({
    statement: onlyConditions(
      operationFault("lt", ([a, b]) => (a!.kind === "variable" && a.name === "group" ? apply("le", a, b!) : undefined)),
    ),
  }),
  "blocks from the last to the first begin after it": () => ({
    statement: (s) =>
      s.kind === "let" && s.name.includes("_block_") && isOperation(s.value, "max")
        ? [{ ...s, value: add(s.value, literal(1)) }]
        : undefined,
  }),
  "wrong lane in a horizontal fold": () => ({
    expression: (x) => (x.kind === "lane" && x.lane > 0 ? lane(x.of, x.lane - 1) : undefined),
  }),
  "vector fetch one element on": () => ({
    expression: (x) =>
      x.kind === "fetch" && x.width > 1 ? fetch(x.array, add(x.offset, literal(1)), x.dtype, x.width) : undefined,
  }),
  "vector fetch one vector on": () => ({
    expression: (x) =>
      x.kind === "fetch" && x.width > 1 ? fetch(x.array, add(x.offset, literal(x.width)), x.dtype, x.width) : undefined,
  }),
  "lanes of a vector all at its start": () => ({
    expression: (x) => (x.kind === "ramp" ? splat(x.of, x.width) : undefined),
  }),
  "swapped strides": () => ({
    expression: (x) => {
      if (x.kind !== "fetch" || !isOperation(x.offset, "add")) return undefined
      const [a, b] = x.offset.args
      return isOperation(a!, "mul") && a.args[1]!.kind === "literal"
        ? fetch(x.array, add(a.args[0]!, apply("mul", b!, a.args[1]!)), x.dtype, x.width)
        : undefined
    },
  }),
  "wrong partner in a shared fold": () => ({
    expression: operationFault("bitxor", ([a, b]) => (b!.kind === "literal" && b.dtype === "i32" ? a! : undefined)),
    statement: (s) => (s.kind === "shuffle" ? [{ ...s, mask: s.mask === 1 ? 2 : s.mask >> 1 }] : undefined),
  }),
  "lanes that share a fold inside of another keep their own": () => ({
    statement: (s) => {
      if (s.kind !== "for" || s.bind !== "serial" || s.variable.startsWith("point")) return undefined
      const kept = s.body.map((x, i): Statement => {
        if (x.kind === "shuffle") return { kind: "let", name: x.name, value: x.value, mutable: false }
        const before = s.body[i - 2]
        return x.kind === "let" && x.name.startsWith("other_") && before?.kind === "store"
          ? { ...x, value: before.value }
          : x
      })
      return kept.some((x, i) => x !== s.body[i]) ? [{ ...s, body: kept }] : undefined
    },
  }),
  "last of the elements that are taken together dropped": () => ({
    statement: (s) => {
      if (s.kind !== "for" || s.bind !== "serial") return undefined
      const adds = s.body.flatMap((x) => (x.kind === "assign" && freeVariables(x.value).has(x.name) ? [x] : []))
      const last = adds.find((x, i) => adds.findIndex((y) => y.name === x.name) < i)
      return last === undefined ? undefined : [{ ...s, body: s.body.filter((x) => x !== last) }]
    },
  }),
  "store one element on": () => ({
    statement: (s) => (s.kind === "store" ? [{ ...s, offset: add(s.offset, literal(s.value.width)) }] : undefined),
  }),
  "index not clamped": () => ({
    expression: operationFault("max", ([a, b]) =>
      a!.kind === "literal" && a.dtype === "i32" && isOperation(b!, "min") ? b!.args[0]! : undefined,
    ),
  }),
  "validity forgotten": () => ({
    expression: operationFault("select", ([, a], x) => (x.dtype === "i32" ? undefined : a!)),
  }),
  "remainder forgotten": () => ({ expression: operationFault("floormod", ([a]) => a!) }),
  "store truncates to bf16": (loops) => ({
    statement: (s) => {
      if (s.kind !== "store" || s.value.dtype !== "f32") return undefined
      const buffer = loops.buffers.find((b) => b.name === s.array)
      if (buffer === undefined || buffer.storage !== "bf16" || !packed(buffer.storage)) return undefined
      return [{ ...s, value: apply("fromBits", apply("bitand", apply("bits", s.value), literal(0xffff0000, "u32"))) }]
    },
  }),
}

const componentOf = (x: Component, index: number, slot: Expression | undefined) => component(x.of, index, slot)

/** Wrong kernels, as a wrong fusion or lowering would make them. */
export const kernelFaults: Readonly<Record<string, (x: Expression) => Expression | undefined>> = {
  "wrong rank of a top": (x) => {
    if (x.kind !== "component" || x.slot === undefined || x.of.monoid.kind !== "top" || x.of.monoid.k < 2)
      return undefined
    return componentOf(x, x.index, apply("floormod", add(x.slot, literal(1)), literal(x.of.monoid.k)))
  },
  "wrong component of a product": (x) => {
    if (x.kind !== "component" || x.of.monoid.kind !== "product" || x.slot !== undefined) return undefined
    const other = x.of.lift.findIndex((l, i) => i !== x.index && l.dtype === x.dtype)
    return other < 0 ? undefined : componentOf(x, other, undefined)
  },
  "axis of a local dropped": (x) => {
    if (x.kind !== "localRead") return undefined
    const at = x.index.findIndex((i) => i.kind !== "literal")
    return at < 0
      ? undefined
      : localRead(
          x.local,
          x.index.map((i, j) => (i === x.index[at] && j === at ? literal(0) : i)),
          x.dtype,
        )
  },
  "largest for smallest": (x) =>
    x.kind === "reduce" && x.monoid.kind === "max"
      ? reduce(x.axis, x.extent, min, x.lift)
      : x.kind === "reduce" && x.monoid.kind === "min"
        ? reduce(x.axis, x.extent, max, x.lift)
        : undefined,
  "prefix without its end": (x) =>
    x.kind === "scan" ? scan(x.axis, apply("sub", x.at, literal(1)), x.monoid, x.lift) : undefined,
  "index map off by one": operationFault("add", ([a, b], x) =>
    x.dtype === "i32" && b!.kind === "literal" ? add(a!, literal(b.value - 1)) : undefined,
  ),
  "minuend for subtrahend": operationFault("sub", ([a, b], x) =>
    x.dtype === "f32" ? apply("sub", b!, a!) : undefined,
  ),
}

const swapped = <T>(list: readonly T[], i: number, j: number): readonly T[] =>
  list.map((x, k) => (k === i ? list[j]! : k === j ? list[i]! : x))

/** Wrong steps. Undefined where there is no place for the fault. */
export const stepFaults: Readonly<Record<string, (fused: Fused) => Fused | undefined>> = {
  "bindings in another order": (fused) => {
    const at = fused.steps.findIndex((s) => s.kind === "kernel" && pairAlike(s.kernel.buffers) !== undefined)
    const step = fused.steps[at]
    if (step?.kind !== "kernel") return undefined
    const [i, j] = pairAlike(step.kernel.buffers)!
    return {
      ...fused,
      steps: fused.steps.map((s, n) => (n === at ? { ...step, bindings: swapped(step.bindings, i, j) } : s)),
    }
  },
  "arguments of a unit in another order": (fused) => {
    const at = fused.steps.findIndex((s) => s.kind === "call" && argumentsAlike(s, fused) !== undefined)
    const step = fused.steps[at]
    if (step?.kind !== "call") return undefined
    const [i, j] = argumentsAlike(step, fused)!
    return { ...fused, steps: fused.steps.map((s, n) => (n === at ? { ...step, args: swapped(step.args, i, j) } : s)) }
  },
  "steps in another order": (fused) => {
    if (fused.steps.length < 2) return undefined
    return { ...fused, steps: swapped(fused.steps, fused.steps.length - 2, fused.steps.length - 1) }
  },
  "update at the start": inFirst((item) => {
    if (item.kind !== "store") return item
    return storedAt(item, (x) => (isOperation(x, "add") && x.args[1]!.kind === "symbol" ? x.args[0]! : x))
  }),
  "what goes round is written one place further": inFirst((item) => {
    if (item.kind !== "store") return item
    return storedAt(item, (x) =>
      isOperation(x, "floormod") && symbolsOf(x).has("past")
        ? apply("floormod", add(x.args[0]!, literal(1)), x.args[1]!)
        : x,
    )
  }),
  "what is gone is there": inFirst((item) =>
    mapItem(
      item,
      rewriter((x) => {
        if (!isOperation(x, "select") || !isOperation(x.args[0]!, "ge") || x.args[1]!.kind !== "load") return undefined
        return symbolsOf(x.args[0]!).has("past") ? x.args[1] : undefined
      }),
    ),
  ),
}

/** A store at other places. */
function storedAt(item: Store, change: (x: Expression) => Expression): Store {
  const index = item.index.map(change)
  return index.every((x, i) => x === item.index[i]) ? item : { ...item, index }
}

/** The first kernel of which an item changes. */
function inFirst(change: (item: Item) => Item): (fused: Fused) => Fused | undefined {
  return (fused) => {
    let changed = false
    const steps = fused.steps.map((s) => {
      if (s.kind !== "kernel" || changed) return s
      const items = s.kernel.items.map(change)
      changed = items.some((x, i) => rootsOf(x).some((root, j) => root !== rootsOf(s.kernel.items[i]!)[j]))
      return changed ? { ...s, kernel: { ...s.kernel, items } } : s
    })
    return changed ? { ...fused, steps } : undefined
  }
}

type Shaped = { readonly dtype: string; readonly storage: string; readonly shape: readonly number[] }
const alike = (a: Shaped, b: Shaped) => a.dtype === b.dtype && a.storage === b.storage && `${a.shape}` === `${b.shape}`

function pairAlike(list: readonly Shaped[]): readonly [number, number] | undefined {
  for (let i = 0; i < list.length; i++)
    for (let j = i + 1; j < list.length; j++) if (alike(list[i]!, list[j]!)) return [i, j]
  return undefined
}

function argumentsAlike(
  step: Fused["steps"][number] & { kind: "call" },
  fused: Fused,
): readonly [number, number] | undefined {
  const shapes = step.args.map((a) => fused.buffers.get(a)!)
  for (let i = 0; i < shapes.length; i++)
    for (let j = i + 1; j < shapes.length; j++)
      if (step.args[i] !== step.args[j] && alike(shapes[i]!, shapes[j]!)) return [i, j]
  return undefined
}

/** Wrong plans; the plan is changed in place. False where there is no place for the fault. */
export const planFaults: Readonly<Record<string, (plan: Plan) => boolean>> = {
  "stale slot": (plan) => {
    const launches = plan.entries.step!.launches
    const scratch = (b: number) => plan.buffers[b]!.role === "scratch"
    for (const [at, { buffers }] of launches.entries())
      for (const a of buffers.filter(scratch))
        for (const later of launches.slice(at + 1))
          for (const b of later.buffers.filter(scratch)) {
            // Written at `at`, overwritten before its last reader.
            const readers = launches.slice(launches.indexOf(later) + 1).some((l) => l.buffers.includes(a))
            if (a === b || !readers || plan.buffers[a]!.slot === plan.buffers[b]!.slot) continue
            const draft = plan.buffers[b] as { slot: number; bytes: number }
            if (plan.slots[plan.buffers[a]!.slot]!.bytes < draft.bytes) continue
            draft.slot = plan.buffers[a]!.slot
            return true
          }
    return false
  },
  "launch forgotten": (plan) => {
    const entry = plan.entries.step as { launches: unknown[] }
    if (entry.launches.length < 2) return false
    entry.launches.splice(0, 1)
    return true
  },
  "constants not uploaded": (plan) => (plan.constants as unknown[]).splice(0).length > 0,
  "launches in another order": (plan) => {
    const { launches } = plan.entries.step as { launches: unknown[] }
    if (launches.length < 2) return false
    launches.push(launches.shift())
    return true
  },
}
