/** What makes blocks of weights, and the units in f16 that blocks count their scales in. */
import { halfBits, halfNumber } from "../half.js"

/**
 * Writes `weights`, which are a whole number of blocks, into as many blocks of a file's bytes.
 *
 * @returns the sum of the squares of what the blocks are off by; it is no finite number where a weight is none, or is too large for f16's scales
 */
export type Quantize = (weights: Float32Array, into: Uint8Array) => number

/** The bits of the unit of which `most` come nearest to `largest`; where f16 is coarse, the least one of which they miss no more than half a unit. */
export function unitBits(largest: number, most: number): number {
  const bits = halfBits(largest / most)
  return Math.abs(largest) > (Math.abs(most) + 0.5) * Math.abs(halfNumber(bits)) ? bits + 1 : bits
}

/** 1 / x, and 0 for 0: what is multiplied by it is at the code of 0 then. */
export const inverseOf = (x: number): number => (x === 0 ? 0 : 1 / x)
