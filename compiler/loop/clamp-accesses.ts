/**
 * clamp-accesses: loop → loop. Offsets that are not proven to lie in their array are kept inside of it, visibly.
 *
 *   y[index[i] * 64 + lane]   →   y[min(max(index[i] * 64 + lane, 0), 8191)]        y of 8192
 *
 * What a model reads by an index from memory is clamped where it is lowered already, once for a row; this is for what remains.
 */
import { apply, fetch, literal, rewriter } from "../ir/expression.js"
import type { LoopKernel, Statement } from "../ir/loop.js"
import { everyStatement, withBodies, withExpressions } from "../ir/loop-visit.js"
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
  const sizes = sizesOf(kernel)
  const visit = (body: readonly Statement[]): readonly Statement[] =>
    body.map((s) => withBodies(clampedStatement(s, wanted.get(s) ?? [], sizes), visit))
  const loops = { ...kernel, body: visit(kernel.body) }
  const after = proveAccesses(loops, assumed)
  return { loops, clamped: unproven.length - after.unproven.length, unproven: after.unproven }
}

/** Elements of each array, by the least of its name. */
function sizesOf({ buffers, body }: LoopKernel): ReadonlyMap<string, number> {
  const sizes = new Map<string, number>()
  for (const { name, size } of buffers) if (size.kind === "literal") sizes.set(name, size.value)
  for (const s of everyStatement(body))
    if (s.kind === "alloc") sizes.set(s.name, Math.min(s.size, sizes.get(s.name) ?? s.size))
  return sizes
}

function clampedStatement(
  s: Statement,
  accesses: readonly UnprovenAccess[],
  sizes: ReadonlyMap<string, number>,
): Statement {
  if (accesses.length === 0) return s
  const isMeant = (array: string, offset: Expression, width: number) =>
    accesses.some((a) => a.array === array && a.offset === offset && a.width === width)
  const inside = (array: string, offset: Expression, width: number): Expression => {
    const size = sizes.get(array)
    if (size === undefined || size < width) return offset
    const last = literal(size - (size % width) - width, offset.dtype)
    const low = offset.dtype === "i32" ? apply("max", offset, literal(0)) : offset
    return apply("min", low, last)
  }
  const replace = rewriter((x, again) =>
    x.kind === "fetch" && isMeant(x.array, x.offset, x.width)
      ? fetch(x.array, inside(x.array, again(x.offset), x.width), x.dtype, x.width)
      : undefined,
  )
  const changed = withExpressions(s, replace)
  return changed.kind === "store" && s.kind === "store" && isMeant(s.array, s.offset, s.value.width)
    ? { ...changed, offset: inside(s.array, changed.offset, s.value.width) }
    : changed
}
