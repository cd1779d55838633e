/**
 * Which values are in which locals: local value numbering by scopes.
 *
 *   b[i] = x · x + f(x);  c[i] = x · x     →  x · x is computed once when it reads no memory, else once a statement
 *
 * A value that needs no memory and no mutable variable is valid until the end of the innermost structure (loop, branch) that computed it,
 * any other until the end of its statement. Locals go back to a pool when their scope ends.
 */
import { fault } from "../../../runtime/errors.js"
import type { Expression } from "../../ir/nodes.js"
import type { DType } from "../../ir/operations.js"
import type { Code, ValueType } from "./encode.js"

interface Layer {
  readonly kind: "structure" | "statement"
  readonly entries: [Expression, number][]
  readonly locals: number[]
}

/** v128 locals that an expression of this width takes; scalars are one part too. */
export const partsOf = (width: number): number => Math.max(1, Math.ceil(width / 4))
export const typeOf = (dtype: DType, width: number): ValueType => (width > 1 ? "v128" : dtype === "f32" ? "f32" : "i32")

export class Values {
  private readonly code: Code
  private readonly known = new Map<Expression, (number | undefined)[]>()
  private readonly layers: Layer[] = []
  private readonly pool = new Map<ValueType, number[]>()
  private readonly types = new Map<number, ValueType>()

  constructor(code: Code) {
    this.code = code
  }

  /** Runs `body` in a new scope. */
  within<T>(kind: Layer["kind"], body: () => T): T {
    const layer: Layer = { kind, entries: [], locals: [] }
    this.layers.push(layer)
    const result = body()
    this.layers.pop()
    for (const [x, part] of layer.entries) {
      const parts = this.known.get(x)!
      parts[part] = undefined
      if (parts.every((p) => p === undefined)) this.known.delete(x)
    }
    for (const local of layer.locals) this.pool.get(this.types.get(local)!)!.push(local)
    return result
  }

  /** The local that holds a part, if one does. */
  find(x: Expression, part: number): number | undefined {
    return this.known.get(x)?.[part]
  }

  /** A local that lives until the end of the innermost scope, or of the innermost structure. */
  local(type: ValueType, scope: Layer["kind"] = "statement"): number {
    return this.take(type, this.layer(scope))
  }

  /** A new local for a part; it is known until the end of the scope that fits. */
  keep(x: Expression, part: number, scope: Layer["kind"]): number {
    const layer = this.layer(scope)
    const local = this.take(typeOf(x.dtype, x.width), layer)
    this.note(x, part, local, layer)
    return local
  }

  /** Declares that a local holds a part. */
  know(x: Expression, part: number, local: number): void {
    this.note(x, part, local, this.layer("structure"))
  }

  private note(x: Expression, part: number, local: number, layer: Layer): void {
    const parts = this.known.get(x) ?? []
    parts[part] = local
    this.known.set(x, parts)
    layer.entries.push([x, part])
  }

  private layer(kind: Layer["kind"]): Layer {
    const found = kind === "statement" ? this.layers.at(-1) : this.layers.findLast((l) => l.kind === "structure")
    if (found === undefined) throw fault("no scope")
    return found
  }

  private take(type: ValueType, layer: Layer): number {
    const free = this.pool.get(type) ?? []
    this.pool.set(type, free)
    const local = free.pop() ?? this.code.local(type)
    this.types.set(local, type)
    layer.locals.push(local)
    return local
  }
}
