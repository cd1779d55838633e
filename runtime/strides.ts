/**
 * Row-major arrays of the host to and from memory where axes lie in another order or with room between them.
 *
 *     pack([a b c d e f], 2 × 3 in rows of 8)     →   a b c · · · · · d e f
 *
 * Values are four bytes each and are not looked at.
 */
/** The elements of an array, as the host has them. */
export type NumberArray = Float32Array | Int32Array | Uint32Array

/** An axis of the host's array, the slowest first. */
export interface Place {
  readonly extent: number
  /** Elements of memory from one place along the axis to the next. */
  readonly stride: number
}

/** Elements of memory up to the last one that is used. */
export function reach(places: readonly Place[]): number {
  return places.some((p) => p.extent === 0) ? 0 : places.reduce((n, p) => n + (p.extent - 1) * p.stride, 1)
}

/** The bytes of memory that hold `data`. */
export function pack(data: NumberArray, places: readonly Place[]): Uint8Array {
  const words = new Uint32Array(data.buffer, data.byteOffset, data.length)
  if (isDense(places)) return bytesOf(words)
  const memory = new Uint32Array(reach(places))
  each(
    places,
    (host, at, run) => memory.set(words.subarray(host, host + run), at),
    (host, at) => {
      memory[at] = words[host]!
    },
  )
  return bytesOf(memory)
}

/** The host's array of what lies in `memory`. */
export function unpack<Data extends NumberArray>(memory: Data, places: readonly Place[]): Data {
  if (isDense(places)) return memory
  const count = places.reduce((n, p) => n * p.extent, 1)
  const data = new (memory.constructor as new (length: number) => Data)(count)
  each(
    places,
    (host, at, run) => data.set(memory.subarray(at, at + run), host),
    (host, at) => {
      data[host] = memory[at]!
    },
  )
  return data
}

function isDense(places: readonly Place[]): boolean {
  let inner = 1
  return places.toReversed().every(({ extent, stride }) => {
    const fits = extent === 1 || stride === inner
    inner *= extent
    return fits
  })
}

/** Calls `row` for each run of elements that lie side by side on both sides, or `one` for each element when the fastest axis does not. */
function each(
  places: readonly Place[],
  row: (host: number, at: number, length: number) => void,
  one: (host: number, at: number) => void,
): void {
  const fastest = places.at(-1)!
  let host = 0
  const visit = (depth: number, at: number) => {
    if (depth < places.length - 1) {
      const { extent, stride } = places[depth]!
      for (let i = 0; i < extent; i++) visit(depth + 1, at + i * stride)
      return
    }
    if (fastest.stride === 1) row(host, at, fastest.extent)
    else for (let i = 0; i < fastest.extent; i++) one(host + i, at + i * fastest.stride)
    host += fastest.extent
  }
  if (places.every((p) => p.extent > 0)) visit(0, 0)
}

const bytesOf = (words: Uint32Array): Uint8Array => new Uint8Array(words.buffer, words.byteOffset, words.byteLength)
