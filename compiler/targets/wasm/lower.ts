/**
 * From the loop language to its core: what is left are loops (grid, lane, serial), if, block, let, assign, alloc, store, shuffle, barrier.
 *
 *   for r < 2 unroll { let x = a[4 i + r];  b[r] = exp(x) }
 *   →  block { let x#1 = a[4 i];  b[0] = … }  block { let x#2 = a[4 i + 1];  b[1] = … }      … = exp's polynomial
 *
 * Every name becomes unique; unrolled loops and loops of one iteration are substituted; immutable integers that need no memory are replaced by
 * their values; operations that WebAssembly lacks are expanded; bf16 and f16 become raw words with conversions.
 */

import { fault } from "../../../runtime/errors.js"
import {
  apply,
  fetch,
  freeVariables,
  isLiteral,
  lane,
  literal,
  operands,
  rewrite,
  splat,
  variable,
} from "../../ir/expression.js"
import { type LoopKernel, packed, type Statement, type Storage } from "../../ir/loop.js"
import { isJoint } from "../../ir/loop-visit.js"
import { memoized } from "../../ir/memoized.js"
import type { Expression, Fetch } from "../../ir/nodes.js"
import type { DType, Operation } from "../../ir/operations.js"
import { expand } from "../expand.js"
import { narrow, widen } from "./storage.js"
import { constantLanes } from "./vectors.js"

/** What WebAssembly has no instruction for; some others are written out in `floats.ts` and `integers.ts`. */
export const lacks: ReadonlySet<Operation> = new Set([
  "exp",
  "exp2",
  "log",
  "sin",
  "cos",
  "tanh",
  "pow",
  "sign",
  "half",
])

interface ArrayName {
  readonly name: string
  readonly dtype: DType
  readonly storage: Storage | undefined
}

/** What is known of a kernel as it is lowered. */
interface Lowering {
  readonly kernel: LoopKernel
  readonly mutable: Set<string>
  readonly expanded: Map<Expression, Expression>
  readonly inVectors: Map<Expression, Expression>
  /** Names that have been given. */
  count: number
}

interface Scope {
  readonly lowering: Lowering
  readonly names: Map<string, Expression>
  readonly arrays: Map<string, ArrayName>
}

/** Statements that a short serial loop may become when it is unrolled. */
const mostUnrolled = 24

/** How many statements are left of one, unrolled; loops that stay loops weigh too much. */
function weight(s: Statement): number {
  const all = (list: readonly Statement[]) => list.reduce((sum, x) => sum + weight(x), 0)
  switch (s.kind) {
    case "for": {
      const times = isLiteral(s.extent) ? s.extent.value : Number.POSITIVE_INFINITY
      return s.bind !== "lane" && (times <= 4 || s.bind === "unroll") ? times * all(s.body) : Number.POSITIVE_INFINITY
    }
    case "if":
      return 1 + all(s.body) + all(s.otherwise)
    case "block":
      return all(s.body)
    case "barrier":
    case "shuffle":
      return Number.POSITIVE_INFINITY
    default:
      return 1
  }
}

/** The arrays that an expression reads. */
export const arraysRead: (x: Expression) => ReadonlySet<string> = memoized((x) => {
  const inner = operands(x).map(arraysRead)
  // Most nodes read what one operand reads.
  const most =
    inner.find((r) => inner.every((o) => [...o].every((name) => r.has(name)))) ?? new Set(inner.flatMap((o) => [...o]))
  return x.kind === "fetch" && !most.has(x.array) ? new Set([...most, x.array]) : most
}, new WeakMap())

/** Whether an expression reads memory. */
export const readsMemory = (x: Expression): boolean => arraysRead(x).size > 0

export interface Lowered {
  readonly body: readonly Statement[]
  /** Variables that are assigned after their declaration. */
  readonly mutable: ReadonlySet<string>
}

export function lower(kernel: LoopKernel): Lowered {
  const mutable = new Set<string>()
  const lowering: Lowering = { kernel, mutable, expanded: new Map(), inVectors: new Map(), count: 0 }
  const arrays = new Map<string, ArrayName>(kernel.buffers.map((b) => [b.name, b]))
  return { body: list({ lowering, names: new Map(), arrays }, kernel.body), mutable }
}

const unique = ({ lowering }: Scope, name: string) => `${name}#${lowering.count++}`

const finish = ({ lowering }: Scope, x: Expression) =>
  expand(rewrite(x, inVectors, lowering.inVectors), lacks, lowering.expanded)

const stable = ({ lowering }: Scope, x: Expression) =>
  !readsMemory(x) && ![...freeVariables(x)].some((name) => lowering.mutable.has(name))

const inner = (scope: Scope): Scope => ({ ...scope, names: new Map(scope.names), arrays: new Map(scope.arrays) })

function array(scope: Scope, name: string): ArrayName {
  const found = scope.arrays.get(name)
  if (found === undefined) throw fault(`no array '${name}' in kernel '${scope.lowering.kernel.name}'`)
  return found
}

function read(scope: Scope, x: Fetch, offset: Expression): Expression {
  const { name, storage } = array(scope, x.array)
  if (storage === undefined || !packed(storage)) return fetch(name, offset, x.dtype, x.width)
  return widen(storage, fetch(name, offset, "u32", x.width))
}

const renamed = (scope: Scope, x: Expression): Expression =>
  rewrite(x, (node, again) => {
    if (node.kind === "variable") return scope.names.get(node.name) ?? node
    return node.kind === "fetch" ? read(scope, node, again(node.offset)) : undefined
  })

const value = (scope: Scope, x: Expression) => finish(scope, renamed(scope, x))

const list = (scope: Scope, statements: readonly Statement[]): Statement[] => statements.flatMap((s) => one(scope, s))

function bind(scope: Scope, name: string, x: Expression): string {
  const fresh = unique(scope, name)
  scope.names.set(name, variable(fresh, x.dtype, x.width))
  return fresh
}

function substituted(scope: Scope, name: string, i: number, body: readonly Statement[]): Statement {
  const scoped = inner(scope)
  scoped.names.set(name, literal(i))
  return { kind: "block", body: list(scoped, body) }
}

function one(scope: Scope, s: Statement): readonly Statement[] {
  if (isJoint(s)) throw fault(`'${s.kind}' of kernel '${scope.lowering.kernel.name}' has no lanes to be done by`)
  switch (s.kind) {
    case "for":
      return loop(scope, s)
    case "if": {
      const condition = value(scope, s.condition)
      if (isLiteral(condition)) return list(inner(scope), condition.value ? s.body : s.otherwise)
      return [
        {
          ...s,
          condition,
          body: list(inner(scope), s.body),
          otherwise: list(inner(scope), s.otherwise),
        },
      ]
    }
    case "block":
      return [{ ...s, body: list(inner(scope), s.body) }]
    case "let": {
      const x = value(scope, s.value)
      if (!s.mutable && stable(scope, x) && (isPlain(x) || (x.dtype === "i32" && x.width === 1))) {
        scope.names.set(s.name, x)
        return []
      }
      const name = bind(scope, s.name, x)
      if (s.mutable) scope.lowering.mutable.add(name)
      return [{ ...s, name, value: x }]
    }
    case "assign": {
      const target = scope.names.get(s.name)
      if (target?.kind !== "variable") throw fault(`no variable '${s.name}' in kernel '${scope.lowering.kernel.name}'`)
      return [{ ...s, name: target.name, value: widened(value(scope, s.value), target.width) }]
    }
    case "alloc": {
      const name = unique(scope, s.name)
      scope.arrays.set(s.name, { name, dtype: s.dtype, storage: s.storage })
      return [{ ...s, name }]
    }
    case "store":
      return store(scope, s)
    case "shuffle": {
      const x = value(scope, s.value)
      const name = bind(scope, s.name, x)
      return [
        scope.lowering.kernel.threads === 1
          ? { kind: "let", name, value: x, mutable: false }
          : { ...s, name, value: x },
      ]
    }
    case "prefetch":
    case "await":
    case "release":
      return []
    case "barrier":
      return scope.lowering.kernel.threads === 1 ? [] : [s]
    default:
      return s satisfies never
  }
}

function loop(scope: Scope, s: Extract<Statement, { kind: "for" }>): readonly Statement[] {
  const extent = value(scope, s.extent)
  const times = isLiteral(extent) ? extent.value : undefined
  if (times !== undefined && times <= 0) return []
  if (times !== undefined && s.bind !== "grid" && (times === 1 || s.bind === "unroll" || weight(s) <= mostUnrolled))
    return Array.from({ length: times }, (_, i) => substituted(scope, s.variable, i, s.body))
  const scoped = inner(scope)
  const name = bind(scoped, s.variable, extent)
  return [{ ...s, variable: name, extent, bind: s.bind === "unroll" ? "serial" : s.bind, body: list(scoped, s.body) }]
}

function store(scope: Scope, s: Extract<Statement, { kind: "store" }>): readonly Statement[] {
  const { name, storage } = array(scope, s.array)
  const offset = value(scope, s.offset)
  if (s.adds === true) {
    // One lane runs after the other.
    const { dtype } = s.value
    const sum = finish(scope, apply("add", fetch(name, offset, dtype), renamed(scope, s.value)))
    return [{ kind: "store", array: name, offset, value: sum }]
  }
  if (storage === undefined || !packed(storage)) return [{ ...s, array: name, offset, value: value(scope, s.value) }]
  const from = s.value.kind === "fetch" ? array(scope, s.value.array) : undefined
  // Halves that are moved stay what they are.
  if (s.value.kind === "fetch" && from?.storage === storage) {
    const moved = fetch(from.name, value(scope, s.value.offset), "u32", s.value.width)
    return [{ ...s, array: name, offset, value: moved }]
  }
  return [{ ...s, array: name, offset, value: finish(scope, narrow(storage, renamed(scope, s.value))) }]
}

/** Operations that take one lane of a vector: clamping and rounding scalars has branches, and words have halves in vectors only. */
const ofVectors: ReadonlySet<Operation> = new Set(["exp", "dot2"])

const inVectors = (x: Expression): Expression | undefined =>
  x.kind === "operation" && ofVectors.has(x.operation) && x.width === 1
    ? lane(apply(x.operation, ...x.args.map((a) => splat(rewrite(a, inVectors), 4))), 0)
    : undefined

const isPlain = (x: Expression): boolean =>
  constantLanes(x) !== undefined || isLiteral(x) || x.kind === "variable" || (x.kind === "splat" && isPlain(x.of))

const widened = (x: Expression, width: number) => (x.width === width ? x : splat(x, width))
