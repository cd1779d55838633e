/**
 * drop-barriers: loop → loop. A barrier stays where it keeps accesses apart that touch one array, one of them to store; of several in a row that
 * could keep the same accesses apart the last one does.
 *
 *   tile[i] = x; barrier; sums[i] = s; barrier; a = tile[j] + sums[j]; barrier; y[i] = a      →   the second alone
 *
 * Arrays are those that lanes share, and buffers that the kernel stores to. What lanes do in loops around a barrier counts as done before it, and
 * a barrier before loops or branches that have some of their own stays.
 */
import type { LoopKernel, Statement } from "../ir/loop.js"
import { everyStatement, readsOf, settledIn, storesOf, withBodies } from "../ir/loop-visit.js"

/** Shared arrays that are read and stored to. */
interface Accesses {
  readonly reads: ReadonlySet<string>
  readonly writes: ReadonlySet<string>
}

const none: Accesses = { reads: new Set(), writes: new Set() }

export function dropBarriers(kernel: LoopKernel): LoopKernel {
  const shared = new Set(kernel.buffers.flatMap((b) => (b.access === "read" ? [] : [b.name])))
  for (const s of everyStatement(kernel.body)) if (s.kind === "alloc" && s.space === "shared") shared.add(s.name)
  const settled = settledIn(kernel.body)
  return { ...kernel, body: visit(kernel.body, none, false, (s) => accessesOf(s, shared, settled)) }
}

/**
 * A body with the barriers that it needs. `since`: what has been touched since the last barrier before it; `meets`: whether the first thing
 * after it is a barrier.
 */
function visit(
  body: readonly Statement[],
  since: Accesses,
  meets: boolean,
  touched: (s: readonly Statement[]) => Accesses,
): readonly Statement[] {
  const out: Statement[] = []
  let before = none
  let now = since
  // Where the last barrier stands, as long as nothing is known that needs it.
  let idle: number | undefined
  for (const [i, s] of body.entries()) {
    if (s.kind === "barrier") {
      before = idle === undefined ? now : both(before, now)
      if (idle !== undefined) out.splice(idle, 1)
      now = none
      idle = out.push(s) - 1
      continue
    }
    const mine = touched([s])
    const inside = everyStatement([s]).some((x) => x.kind === "barrier")
    if (inside || conflict(before, mine)) idle = undefined
    out.push(inside ? withBodies(s, (b) => visitInside(s, b, now, meets && i === body.length - 1, touched)) : s)
    now = both(now, mine)
  }
  if (idle !== undefined && meets) out.splice(idle, 1)
  return out
}

function visitInside(
  s: Statement,
  body: readonly Statement[],
  since: Accesses,
  meets: boolean,
  touched: (s: readonly Statement[]) => Accesses,
): readonly Statement[] {
  if (s.kind !== "for") return visit(body, since, meets, touched)
  const inside = new Set(everyStatement(body).flatMap((x) => (x.kind === "for" ? [x.bind] : [])))
  // What comes before all cells of a workgroup, and the cells.
  if (s.bind === "lane" && inside.has("grid")) return visit(body, since, true, touched)
  // Lanes begin their next cell with the barrier that they began this one with.
  const at = body.findIndex((x) => x.kind !== "alloc")
  const isCell = s.bind === "lane" || (s.bind === "grid" && !inside.has("lane"))
  if (isCell && body[at]?.kind === "barrier")
    return [...body.slice(0, at + 1), ...visit(body.slice(at + 1), none, true, touched)]
  return visit(body, both(since, touched(body)), false, touched)
}

/** What is under way may be read and stored to until it is waited for. */
function accessesOf(
  body: readonly Statement[],
  shared: ReadonlySet<string>,
  settled: ReturnType<typeof settledIn>,
): Accesses {
  const reads = new Set<string>()
  const writes = new Set<string>()
  for (const s of everyStatement(body)) {
    const late = settled(s)
    for (const array of [...storesOf(s), ...late.stores]) if (shared.has(array)) writes.add(array)
    for (const array of [...readsOf(s), ...late.reads]) if (shared.has(array)) reads.add(array)
  }
  return { reads, writes }
}

const both = (a: Accesses, b: Accesses): Accesses => ({
  reads: new Set([...a.reads, ...b.reads]),
  writes: new Set([...a.writes, ...b.writes]),
})

const conflict = (a: Accesses, b: Accesses): boolean =>
  [...a.writes].some((x) => b.reads.has(x) || b.writes.has(x)) || [...a.reads].some((x) => b.writes.has(x))
