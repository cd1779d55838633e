/**
 * Expressions as JavaScript functions: the code generator that the interpreters share.
 *
 *   compileScalar((a * b) + a, ["a", "b"])   →   (a, b) => { const t0 = Math.fround(a * b); const t1 = Math.fround(t0 + a); return t1 }
 *
 * A node of the DAG is computed once: it is placed in the outermost block (loop body, branch, function) that binds its free variables, and
 * known in all blocks inside. So a loop's invariants leave the loop. What may fault (a load, a reduction over loads) never leaves a guarded block
 * (the branch of a select, a loop that may run no time) unless its faulting parts are known outside already: `select(i < n, x[i], 0)` reads x only
 * where i < n. The languages add their leaves through `Leaves`.
 */

import { fault } from "../../runtime/errors.js"
import { freeVariables, operands, rewrite, variable } from "../ir/expression.js"
import { memoized } from "../ir/memoized.js"
import type { Expression, OperationNode } from "../ir/nodes.js"
import { stepFunctions } from "./monoid.js"
import { bounds, givenBound } from "./scalar-bounds.js"
import { type Arithmetic, numberText, operationText } from "./scalar-operations.js"

/** Text of a value; `bound` is "" where the value has none. */
export interface Atom {
  readonly value: string
  readonly bound: string
}

export interface Block {
  readonly parent: Block | undefined
  readonly depth: number
  /** Whether it may run no time when its parent runs once. */
  readonly guarded: boolean
  readonly lines: string[]
  /** The variables bound here, with the extents of those that are axes. */
  readonly names: ReadonlyMap<string, Binding>
  readonly known: Map<unknown, Atom>
}
export interface Binding {
  readonly text: string
  readonly bound?: string
  readonly extent?: Expression
}

/** How a language's own nodes are emitted into the current block. */
export type Leaves = (emitter: Emitter, x: Expression) => Atom

const none: Leaves = (_, x) => {
  throw fault(`${x.kind} has no place in a scalar expression`)
}

export class Emitter {
  readonly arithmetic: Arithmetic
  /** JavaScript values that the text calls `held[i]`. */
  readonly held: unknown[] = []
  /** Symbols in the order of their first use; the text calls them `symbols[i]`. */
  readonly symbols: string[] = []
  readonly #leaves: Leaves
  #next = 0
  #block: Block = newBlock(undefined, false, new Map())

  constructor(arithmetic: Arithmetic, leaves: Leaves = none) {
    this.arithmetic = arithmetic
    this.#leaves = leaves
  }

  get block(): Block {
    return this.#block
  }
  fresh(prefix = "t"): string {
    return `${prefix}${this.#next++}`
  }
  push(line: string): void {
    this.#block.lines.push(line)
  }
  hold(value: unknown): string {
    const at = this.held.indexOf(value)
    return `held${at >= 0 ? at : this.held.push(value) - 1}`
  }
  bounded(x: Expression): boolean {
    return this.arithmetic === "absolute" && x.dtype === "f32"
  }
  /** A new constant of the current block. */
  constant(text: string): string {
    const name = this.fresh()
    this.push(`const ${name} = ${text};`)
    return name
  }

  /** Emits what `body` emits into a block of its own, and gives its lines. */
  inside(guarded: boolean, names: ReadonlyMap<string, Binding>, body: () => void): string {
    const before = this.#block
    const block = newBlock(before, guarded, names)
    this.#block = block
    body()
    this.#block = before
    return block.lines.join("\n")
  }

  /** Runs `body` with an enclosing block as the current one. */
  within<T>(block: Block, body: () => T): T {
    const before = this.#block
    this.#block = block
    const made = body()
    this.#block = before
    return made
  }

  /** A loop over 0 ≤ axis < extent. */
  loop(axis: string, extent: Expression, body: () => void): void {
    const count = this.emit(extent).value
    const name = this.fresh("i")
    const binding = new Map([[axis, { text: name, extent }]])
    const round = () => {
      const lines = this.inside(false, binding, body)
      this.push(`for (let ${name} = 0; ${name} < ${count}; ${name}++) {\n${lines}\n}`)
    }
    if (extent.kind === "literal" && extent.value > 0) round()
    else this.push(`if (${count} > 0) {\n${this.inside(true, new Map(), round)}\n}`)
  }

  /** The outermost block that binds all the names. */
  home(names: ReadonlySet<string>): Block {
    let block = this.#block
    while (block.parent !== undefined && ![...names].some((n) => block.names.has(n))) block = block.parent
    return block
  }

  /** Where something that may fault has to stay: inside the nearest guard. */
  guard(home: Block): Block {
    let block = this.#block
    while (block !== home && !block.guarded) block = block.parent!
    return block
  }

  binding(name: string): Binding {
    for (let b: Block | undefined = this.#block; b !== undefined; b = b.parent) {
      const found = b.names.get(name)
      if (found !== undefined) return found
    }
    throw fault(`'${name}' is not bound`)
  }

  known(key: unknown): Atom | undefined {
    for (let b: Block | undefined = this.#block; b !== undefined; b = b.parent) {
      const found = b.known.get(key)
      if (found !== undefined) return found
    }
    return undefined
  }

  emit(x: Expression): Atom {
    if (x.kind === "literal") return this.#number(x.value, this.bounded(x))
    if (x.kind === "variable") {
      const { text, bound } = this.binding(x.name)
      return { value: text, bound: this.bounded(x) ? bound! : "" }
    }
    const known = this.known(x)
    if (known !== undefined) return known
    const home = this.home(freeVariables(x))
    const target = mayFault(x) && !this.#settled(x, home) ? this.guard(home) : home
    return this.within(target, () => {
      const made = this.#make(x)
      target.known.set(x, made)
      return made
    })
  }

  #number(value: number, bounded: boolean): Atom {
    return { value: numberText(value), bound: bounded ? numberText(givenBound(value)) : "" }
  }

  #make(x: Expression): Atom {
    if (x.kind === "symbol") {
      const at = this.symbols.indexOf(x.name)
      return { value: `symbol${at >= 0 ? at : this.symbols.push(x.name) - 1}`, bound: "" }
    }
    if (x.kind !== "operation") return this.#leaves(this, x)
    return x.operation === "select" ? this.#select(x) : this.#operation(x)
  }

  #operation(x: OperationNode): Atom {
    const args = x.args.map((a) => this.emit(a))
    const types = x.args.map((a) => a.dtype)
    const hold = (v: unknown) => this.hold(v)
    const text = operationText(
      x.operation,
      types,
      this.arithmetic,
      args.map((a) => a.value),
      hold,
    )
    const value = this.constant(text)
    if (!this.bounded(x)) return { value, bound: "" }
    const given = args.flatMap((a) => [a.value, a.bound === "" ? `Math.abs(${a.value})` : a.bound])
    return { value, bound: this.constant(`${hold(bounds[x.operation])}(${[value, ...given].join(", ")})`) }
  }

  /** Branches that may fault are evaluated only when they are chosen. */
  #select(x: OperationNode): Atom {
    const [condition, a, b] = x.args as [Expression, Expression, Expression]
    const chosen = this.emit(condition).value
    const eager = [a, b].every((y) => this.#settled(y, this.#block))
    const bounded = this.bounded(x)
    if (eager) {
      const [p, q] = [this.emit(a), this.emit(b)]
      const value = this.constant(`${chosen} ? ${p.value} : ${q.value}`)
      return { value, bound: bounded ? this.constant(`${chosen} ? ${p.bound} : ${q.bound}`) : "" }
    }
    const made = { value: this.fresh(), bound: bounded ? this.fresh() : "" }
    this.push(`let ${made.value} = 0${bounded ? `, ${made.bound} = 0` : ""};`)
    const branch = (y: Expression) =>
      this.inside(true, new Map(), () => {
        const { value, bound } = this.emit(y)
        this.push(`${made.value} = ${value};${bounded ? ` ${made.bound} = ${bound};` : ""}`)
      })
    this.push(`if (${chosen}) {\n${branch(a)}\n} else {\n${branch(b)}\n}`)
    return made
  }

  /** Whether `x` can be evaluated in `block` without a fault that is not there already. */
  #settled(root: Expression, block: Block): boolean {
    const seen = new Set<Expression>()
    const visit = (x: Expression): boolean => {
      if (!mayFault(x) || seen.has(x) || this.within(block, () => this.known(x)) !== undefined) return true
      seen.add(x)
      return x.kind === "operation" && x.args.every(visit)
    }
    return visit(root)
  }

  /** The function of the root block, after the lines of `prelude`. Where symbols are used, one of the parameters is called `symbols`. */
  function<F>(parameters: readonly string[], prelude: readonly string[] = []): F {
    const names = [...this.held.map((_, i) => `held${i}`), ...Object.keys(stepFunctions)]
    const symbols = this.symbols.map((_, i) => `const symbol${i} = symbols[${i}];`)
    const lines = [...prelude, ...symbols, ...this.#block.lines].join("\n")
    const made = new Function(...names, `"use strict"; return (${parameters.join(", ")}) => {\n${lines}\n}`)
    return made(...this.held, ...Object.values(stepFunctions)) as F
  }
}

/** The value of `x` as a function of the variables in the order of `parameters`. Symbols are parameters too. */
export function compileScalar(
  x: Expression,
  parameters: readonly string[],
  arithmetic: Exclude<Arithmetic, "absolute"> = "rounded",
): (...values: number[]) => number {
  const emitter = new Emitter(arithmetic)
  const names = new Map(parameters.map((p, i) => [p, { text: `p${i}` }]))
  const body = emitter.inside(false, names, () => emitter.push(`return ${emitter.emit(asVariables(x)).value};`))
  emitter.push(`{\n${body}\n}`)
  return emitter.function(parameters.map((_, i) => `p${i}`))
}

/** The value with its bound, from values and bounds in the order of `parameters`. */
export function compileBound(
  x: Expression,
  parameters: readonly string[],
): (values: readonly number[], bounds: readonly number[]) => { readonly value: number; readonly bound: number } {
  const emitter = new Emitter("absolute")
  const names = new Map(parameters.map((p, i) => [p, { text: `values[${i}]`, bound: `bounds[${i}]` }]))
  const body = emitter.inside(false, names, () => {
    const { value, bound } = emitter.emit(asVariables(x))
    emitter.push(`return { value: ${value}, bound: ${bound === "" ? `Math.abs(${value})` : bound} };`)
  })
  emitter.push(`{\n${body}\n}`)
  return emitter.function(["values", "bounds"])
}

const asVariables = (x: Expression) => rewrite(x, (y) => (y.kind === "symbol" ? variable(y.name) : undefined))

function newBlock(parent: Block | undefined, guarded: boolean, names: ReadonlyMap<string, Binding>): Block {
  return { parent, depth: parent === undefined ? 0 : parent.depth + 1, guarded, lines: [], names, known: new Map() }
}

/** Whether there is a node below that is neither a scalar operation nor a name. */
const mayFault: (x: Expression) => boolean = memoized((x) => {
  const scalar = x.kind === "literal" || x.kind === "variable" || x.kind === "symbol" || x.kind === "operation"
  return !scalar || operands(x).some(mayFault)
}, new WeakMap())
