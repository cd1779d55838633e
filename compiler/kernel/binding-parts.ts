/**
 * Buffers in parts, and how values read them: what `divideKernel` builds its kernels of.
 *
 *   a stretch from row 4 in part 2     w[out, k]      →   w/2[out2, k]              out stands for out2 + 4
 *   a row that data choose             w[id[i], k]    →   select(id[i] < 2, w/0[min(id[i], 1), k], select(id[i] < 4, w/1[…], w/2[…]))
 */
import { add, apply, literal, load, rewrite, sub, variable } from "../ir/expression.js"
import type { KernelBuffer, Store } from "../ir/kernel.js"
import { storageBytes } from "../ir/loop.js"
import type { Expression, Load } from "../ir/nodes.js"

/** A buffer in parts: `rows` in each but the last. */
export interface BindingParts {
  readonly rows: number
  readonly count: number
}

/** How a buffer is divided when at most `bytes` may be bound; undefined when it fits, or when it has no rows to divide. */
export function partsOf(
  { shape, storage }: Pick<KernelBuffer, "shape" | "storage">,
  bytes: number,
): BindingParts | undefined {
  const [extent = 1, ...inner] = shape
  const rowBytes = inner.reduce((n, s) => n * s, 1) * storageBytes(storage)
  if (extent * rowBytes <= bytes) return undefined
  const most = Math.max(1, Math.floor(bytes / rowBytes))
  // Whole vectors and words of what is stored along with the rows.
  const rows = most > 64 ? most - (most % 64) : most > 8 ? most - (most % 8) : most
  const count = Math.ceil(extent / rows)
  return count > 1 ? { rows, count } : undefined
}

export const partName = (buffer: string, part: number) => `${buffer}/${part}`

/** A stretch of an axis: `name` runs from 0 and stands for the axis less `start`; without an extent, for the whole of it. */
export interface Stretch {
  readonly name: string
  readonly start: number
  readonly extent?: number
}

/** Rows from `first` to `end`, which are bounds of parts. */
export interface Rows {
  readonly first: number
  readonly end: number
}

/** How the values of a store are moved. */
export interface Move {
  readonly parts: ReadonlyMap<string, BindingParts>
  /** The stretches of the store's axes. */
  readonly at?: ReadonlyMap<string, Stretch>
  /** The axis along which a buffer is divided with the store. */
  readonly along?: ReadonlyMap<string, string>
  /** The rows that are asked for, of buffers of which not all are. */
  readonly rows?: ReadonlyMap<string, Rows>
}

/** The store over stretches of its axes. */
export function moved(store: Store, move: Move): Store {
  const memo = new Map<Expression, Expression>()
  const axes = store.axes.map((a) => {
    const { name, extent } = move.at!.get(a.name)!
    return { name, extent: extent === undefined ? a.extent : literal(extent) }
  })
  const index = store.index.map((x) => relocate(x, move, memo))
  return { ...store, axes, index, value: relocate(store.value, move, memo) }
}

/** The value with axes replaced by stretches, and with loads of divided buffers replaced by loads of their parts. */
export function relocate(root: Expression, move: Move, memo: Map<Expression, Expression> = new Map()): Expression {
  const visit = (x: Expression): Expression => rewrite(x, replace, memo)
  const replace = (x: Expression): Expression | undefined => {
    if (x.kind === "variable") {
      const stretch = move.at?.get(x.name)
      return stretch && add(variable(stretch.name), literal(stretch.start))
    }
    const divided = x.kind === "load" ? move.parts.get(x.buffer) : undefined
    if (x.kind !== "load" || divided === undefined) return undefined
    const [row, ...rest] = x.index
    const inner = rest.map(visit)
    const axis = move.along?.get(x.buffer)
    const stretch = axis === undefined ? undefined : move.at!.get(axis)!
    if (stretch === undefined) return choice(x, visit(row!), inner, divided, move.rows?.get(x.buffer))
    // The stretch lies in one part, for the bounds of parts are bounds of stretches.
    const part = Math.floor(stretch.start / divided.rows)
    const inPart = add(variable(stretch.name), literal(stretch.start - part * divided.rows))
    return load(partName(x.buffer, part), [inPart, ...inner], x.dtype)
  }
  return visit(root)
}

/** The element of a row that may lie in any part: indices of the other parts are brought within them, and what they give is dropped. */
function choice(
  x: Load,
  row: Expression,
  inner: readonly Expression[],
  { rows, count }: BindingParts,
  asked: Rows = { first: 0, end: rows * count },
): Expression {
  const first = Math.min(count - 1, Math.floor(asked.first / rows))
  const last = Math.max(first, Math.min(count, Math.ceil(asked.end / rows)) - 1)
  const from = (part: number): Expression => {
    const least = part === 0 ? row : apply("max", sub(row, literal(part * rows)), literal(0))
    const within = part === count - 1 ? least : apply("min", least, literal(rows - 1))
    const value = load(partName(x.buffer, part), [within, ...inner], x.dtype)
    return part === last ? value : apply("select", apply("lt", row, literal((part + 1) * rows)), value, from(part + 1))
  }
  return from(first)
}
