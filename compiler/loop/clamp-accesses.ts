/**
 * clamp-accesses: loop → loop. Offsets that are not proven to lie in their array are kept inside of it, visibly.
 *
 *   y[index[i] * 64 + lane]   →   y[min(max(index[i] * 64 + lane, 0), 8191)]        y of 8192
 *
 * What a model reads by an index from memory is clamped where it is lowered already, once for a row; this is for what remains.
 */
import { apply, fetch, literal, rewriter } from "../ir/expression.js"
import { tileAlignment } from "../ir/fragments/atoms.js"
import type { LoopKernel, Statement } from "../ir/loop.js"
import { everyStatement, withBodies, withExpressions, withPlaces } from "../ir/loop-visit.js"
import type { Expression } from "../ir/nodes.js"
import { proveAccesses, type UnprovenAccess } from "../ir/verify/accesses.js"

export interface ClampedKernel {
  readonly loops: LoopKernel
  /** Accesses that were not proven, and are clamped. */
  readonly clamped: number
  /** Those for which even that was not possible. */
  readonly unproven: readonly UnprovenAccess[]
}

/** @param assumed integer expressions of size symbols that are at least 0 whenever the kernel runs */
export function clampAccesses(kernel: LoopKernel, assumed: readonly Expression[]): ClampedKernel {
  const { unproven } = proveAccesses(kernel, assumed)
  if (unproven.length === 0) return { loops: kernel, clamped: 0, unproven }
  const wanted = new Map<Statement, UnprovenAccess[]>()
  for (const access of unproven) wanted.set(access.statement, [...(wanted.get(access.statement) ?? []), access])
  const bounds = boundsOf(kernel)
  const visit = (body: readonly Statement[]): readonly Statement[] =>
    body.map((s) => withBodies(clampedStatement(s, wanted.get(s) ?? [], bounds), visit))
  const loops = { ...kernel, body: visit(kernel.body) }
  const after = proveAccesses(loops, assumed)
  return { loops, clamped: unproven.length - after.unproven.length, unproven: after.unproven }
}

/** An array: elements, and whether lanes share it. */
interface Bounds {
  readonly size: number
  readonly shared: boolean
}

/** Of each array, by the least of its name. */
function boundsOf({ buffers, body }: LoopKernel): ReadonlyMap<string, Bounds> {
  const bounds = new Map<string, Bounds>()
  for (const { name, size } of buffers)
    if (size.kind === "literal") bounds.set(name, { size: size.value, shared: false })
  for (const s of everyStatement(body)) {
    if (s.kind !== "alloc") continue
    const before = bounds.get(s.name)
    const shared = s.space === "shared" || before?.shared === true
    bounds.set(s.name, { size: Math.min(s.size, before?.size ?? s.size), shared })
  }
  return bounds
}

function clampedStatement(
  s: Statement,
  accesses: readonly UnprovenAccess[],
  bounds: ReadonlyMap<string, Bounds>,
): Statement {
  if (accesses.length === 0) return s
  const found = (array: string, offset: Expression, width?: number) =>
    accesses.find((a) => a.array === array && a.offset === offset && a.width === (width ?? a.width))
  const inside = (array: string, offset: Expression, width: number, alignment = width): Expression => {
    const size = bounds.get(array)?.size
    if (size === undefined || size < width) return offset
    const last = literal(size - width - ((size - width) % alignment), offset.dtype)
    const low = offset.dtype === "i32" ? apply("max", offset, literal(0)) : offset
    return apply("min", low, last)
  }
  const replace = rewriter((x, again) =>
    x.kind === "fetch" && found(x.array, x.offset, x.width) !== undefined
      ? fetch(x.array, inside(x.array, again(x.offset), x.width), x.dtype, x.width)
      : undefined,
  )
  switch (s.kind) {
    case "store": {
      const changed = withExpressions(s, replace) as typeof s
      const isMeant = found(s.array, s.offset, s.value.width) !== undefined
      return isMeant ? { ...changed, offset: inside(s.array, changed.offset, s.value.width) } : changed
    }
    case "multiply":
    case "fill":
    case "drain":
    case "copy": {
      const placed = withPlaces(s, (place) => {
        const { array, offset } = place
        const access = found(array, offset)
        if (access === undefined) return place
        // Fragments fill their arrays; of shared tiles the hardware reads a row's part at once.
        const alignment = s.kind === "copy" ? s.width : bounds.get(array)?.shared ? tileAlignment : 1
        return { ...place, offset: inside(array, offset, access.width, alignment) }
      })
      return withExpressions(placed, replace)
    }
    default:
      return withExpressions(s, replace)
  }
}
