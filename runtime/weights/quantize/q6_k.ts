/**
 * Q6_K: 256 weights in 210 bytes. Each 16 of them have a scale, a whole number from -128 to 127 of units in f16 that all share; codes go from
 * -32 to 31, and a weight is unit · scale · code.
 *
 * For each 16, steps are tried that bring the weight of the largest magnitude close to the code -32, and to the codes belongs the step of the
 * least squares. The largest of these is -128 units. Then, for each 16, the scales to both sides are tried with the codes that are nearest.
 * Where plain rounding comes closer, which is when units are coarse, it is taken.
 */
import { halfNumber } from "../half.js"
import { inverseOf, type Quantize, unitBits } from "./quantizer.js"

const weightsPerBlock = 256
const bytesPerBlock = 210
const weightsPerPart = 16
const parts = weightsPerBlock / weightsPerPart
const [leastCode, largestCode] = [-32, 31]
const [leastScale, largestScale] = [-128, 127]
/** Steps that are tried: the weight of the largest magnitude at the code -32 + k/4. With k/8, normal weights came out with the same error in four digits. */
const [firstTry, lastTry, tries] = [-4, 4, 4]

const steps = new Float64Array(parts)
const plainSteps = new Float64Array(parts)
const scales = new Int8Array(parts)
const codes = new Uint8Array(weightsPerBlock)

export const quantizeQ6K: Quantize = (weights, into) => {
  const view = new DataView(into.buffer, into.byteOffset, into.byteLength)
  let error = 0
  for (let first = 0, at = 0; first < weights.length; first += weightsPerBlock, at += bytesPerBlock) {
    for (let p = 0; p < parts; p++) fit(weights, first + p * weightsPerPart, p)
    const plainBits = unitBits(extremeOf(plainSteps), leastScale)
    const plainError = chooseScales(weights, first, plainSteps, halfNumber(plainBits), 0)
    let bits = unitBits(extremeOf(steps), leastScale)
    let least = chooseScales(weights, first, steps, halfNumber(bits), 1)
    if (plainError < least) {
      bits = plainBits
      least = chooseScales(weights, first, plainSteps, halfNumber(bits), 0)
    }
    error += least
    writeCodes(weights, first, halfNumber(bits), into, at)
    view.setUint16(at + 208, bits, true)
  }
  return error
}

/** The number of the largest magnitude. */
function extremeOf(numbers: Float64Array): number {
  let extreme = 0
  for (const x of numbers) if (Math.abs(x) > Math.abs(extreme)) extreme = x
  return extreme
}

/** The step of plain rounding for the 16 weights of part `p`, and that of the least squares. */
function fit(weights: Float32Array, first: number, p: number): void {
  let extreme = 0
  for (let i = first; i < first + weightsPerPart; i++) {
    const x = weights[i]!
    if (Math.abs(x) > Math.abs(extreme)) extreme = x
  }
  plainSteps[p] = extreme / leastCode
  steps[p] = 0
  if (extreme === 0) return
  let best = -1
  for (let k = firstTry; k <= lastTry; k++) {
    const inverse = (leastCode + k / tries) / extreme
    let products = 0
    let squares = 0
    for (let i = first; i < first + weightsPerPart; i++) {
      const x = weights[i]!
      const code = nearestCode(x * inverse)
      products += x * code
      squares += code * code
    }
    // What the step of the least squares takes away of the weights' own squares.
    const gain = (products * products) / squares
    if (gain > best) {
      best = gain
      steps[p] = products / squares
    }
  }
}

/** Chooses the scale of each part among those that are nearest and so many to their sides; what all weights are off by. */
function chooseScales(
  weights: Float32Array,
  first: number,
  wanted: Float64Array,
  unit: number,
  around: number,
): number {
  const inverse = inverseOf(unit)
  let error = 0
  for (let p = 0; p < parts; p++) {
    const middle = Math.round(wanted[p]! * inverse)
    const from = Math.min(largestScale, Math.max(leastScale, middle - around))
    const to = Math.max(leastScale, Math.min(largestScale, middle + around))
    let best = Number.POSITIVE_INFINITY
    for (let scale = from; scale <= to; scale++) {
      const off = errorWith(weights, first + p * weightsPerPart, scale * unit)
      if (off < best) {
        best = off
        scales[p] = scale
      }
    }
    error += best
  }
  return error
}

function errorWith(weights: Float32Array, first: number, step: number): number {
  const inverse = inverseOf(step)
  let error = 0
  for (let i = first; i < first + weightsPerPart; i++) {
    const x = weights[i]!
    const off = x - nearestCode(x * inverse) * step
    error += off * off
  }
  return error
}

/** Truncation is quicker than rounding down, and the same from 0 on. */
const nearestCode = (x: number): number =>
  x <= leastCode ? leastCode : x >= largestCode ? largestCode : ((x + 0.5 - leastCode) | 0) + leastCode

/** Of each half of 128: the low four bits of codes i and i + 64 in a byte, then the high two of i, i + 32, i + 64, i + 96; then the scales. */
function writeCodes(weights: Float32Array, first: number, unit: number, into: Uint8Array, at: number): void {
  for (let p = 0; p < parts; p++) {
    const inverse = inverseOf(scales[p]! * unit)
    for (let i = p * weightsPerPart; i < (p + 1) * weightsPerPart; i++)
      codes[i] = nearestCode(weights[first + i]! * inverse) - leastCode
    into[at + 192 + p] = scales[p]!
  }
  for (let half = 0; half < 2; half++) {
    const from = half * 128
    for (let i = from; i < from + 64; i++) into[at + i - half * 64] = (codes[i]! & 15) | ((codes[i + 64]! & 15) << 4)
    for (let i = from; i < from + 32; i++) {
      const [low, high] = [
        (codes[i]! >> 4) | ((codes[i + 32]! >> 4) << 2),
        (codes[i + 64]! >> 4) | ((codes[i + 96]! >> 4) << 2),
      ]
      into[at + 128 + i - half * 96] = low | (high << 4)
    }
  }
}
