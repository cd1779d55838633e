/**
 * Patterns: which lanes of a workgroup hold the same.
 *
 *   lane // 4     0 0 0 0 1 1 1 1 2 2 2 2 …      16 of 64 lanes are different
 *   lane mod 2    0 1 0 1 0 1 0 1 0 1 0 1 …      2
 *   of both       0 1 0 1 2 3 2 3 4 5 4 5 …      32: lanes are the same where they are in both
 *
 * A pattern that comes again is one object, and what two make together is remembered, so most of a walk looks things up.
 */

/** Lanes with one number hold the same; numbers count from 0 in the order of the lanes. */
export interface Pattern {
  readonly classes: Int32Array
  readonly count: number
  readonly joined: Map<Pattern, Pattern>
}

/** Lanes that take part; undefined: all. */
export type Active = Uint8Array | undefined

/** Undefined stands for lanes that all hold the same. */
export interface Patterns {
  readonly of: (at: number | Float64Array) => Pattern | undefined
  readonly joined: (a: Pattern | undefined, b: Pattern | undefined) => Pattern | undefined
  /** That of the lanes whose numbers are these XOR `mask`. */
  readonly exchanged: (of: Pattern | undefined, mask: number) => Pattern | undefined
}

export function createPatterns(threads: number): Patterns {
  const interned = new Map<number, Pattern[]>()
  const known = new WeakMap<Float64Array, { readonly pattern: Pattern | undefined }>()
  const intern = (keyOf: (lane: number) => number): Pattern | undefined => {
    const { classes, count } = classesOf(threads, keyOf)
    if (count === 1) return undefined
    const hash = classes.reduce((h, c) => Math.imul(h ^ c, 0x9e3779b1) ^ (h >>> 15), count)
    const alike = interned.get(hash) ?? []
    interned.set(hash, alike)
    const found = alike.find((p) => p.count === count && p.classes.every((c, lane) => c === classes[lane]))
    if (found !== undefined) return found
    const made = { classes, count, joined: new Map<Pattern, Pattern>() }
    alike.push(made)
    return made
  }
  return {
    of: (at) => {
      if (typeof at === "number") return undefined
      const found = known.get(at) ?? { pattern: intern((lane) => at[lane]!) }
      known.set(at, found)
      return found.pattern
    },
    joined: (a, b) => {
      if (a === undefined || b === undefined || a === b) return a ?? b
      const found = a.joined.get(b) ?? intern((lane) => a.classes[lane]! * threads + b.classes[lane]!)!
      a.joined.set(b, found)
      return found
    },
    exchanged: (of, mask) => of && intern((lane) => of.classes[lane ^ mask] ?? -1),
  }
}

function classesOf(threads: number, keyOf: (lane: number) => number): Pick<Pattern, "classes" | "count"> {
  const classes = new Int32Array(threads)
  // Most grow with the lane: the same stand side by side.
  let [count, last] = [0, Number.NEGATIVE_INFINITY]
  let lane = 0
  for (; lane < threads; lane++) {
    const key = keyOf(lane)
    if (!(key >= last)) break
    if (key > last) count++
    classes[lane] = count - 1
    last = key
  }
  if (lane === threads) return { classes, count }
  const numbers = new Map<number, number>()
  for (lane = 0; lane < threads; lane++) {
    const key = keyOf(lane)
    const number = numbers.get(key) ?? numbers.size
    numbers.set(key, number)
    classes[lane] = number
  }
  return { classes, count: numbers.size }
}

/** How many different things the lanes from `from` to `to` hold, of those that take part. */
export function differing(of: Pattern | undefined, active: Active, from: number, to: number): number {
  if (of === undefined) return active === undefined || active.subarray(from, to).includes(1) ? 1 : 0
  if (active === undefined && from === 0 && to === of.classes.length) return of.count
  const seen = new Uint8Array(of.count)
  let count = 0
  for (let lane = from; lane < to; lane++) {
    const number = of.classes[lane]!
    if ((active !== undefined && active[lane] === 0) || seen[number] === 1) continue
    seen[number] = 1
    count++
  }
  return count
}
