/** What has been made of what: a Map for as long as it is held, a WeakMap for as long as the objects are. */
export interface Made<X, T> {
  get(x: X): T | undefined
  set(x: X, made: T): unknown
}

/**
 * `make`, called once for each argument; a recursion through what this answers with visits every node of a DAG once.
 *
 *   const depth: (x: Expression) => number = memoized((x) => 1 + Math.max(0, ...operands(x).map(depth)))
 */
export function memoized<X, T>(make: (x: X) => T, made: Made<X, T> = new Map()): (x: X) => T {
  return (x) => {
    const known = made.get(x)
    if (known !== undefined) return known
    const now = make(x)
    made.set(x, now)
    return now
  }
}
