/**
 * Q4_K: 256 weights in 144 bytes. Each 32 of them have a step and a minimum, whole numbers from 0 to 63 of two units in f16 that all share;
 * codes go from 0 to 15, and a weight is unit · step · code - other unit · minimum.
 *
 * For each 32, codes are tried that spread a little more or less than from the least weight (or 0) to the largest; to codes belong the step and the
 * minimum of the least squares, and to those the nearest codes again. The largest step and the largest minimum are 63 units. Then, for each 32, the steps
 * to both sides are tried with the minimum that is best for them. Where plain rounding comes closer, which is when units are coarse, it is taken.
 */
import { halfNumber } from "../half.js"
import { inverseOf, type Quantize, unitBits } from "./quantizer.js"

const weightsPerBlock = 256
const bytesPerBlock = 144
const weightsPerPart = 32
const parts = weightsPerBlock / weightsPerPart
const largestCode = 15
const largestField = 63
/** Spreads that are tried: the largest weight at the code 15 + k/6. Twice as many took 0.1 % off the error of normal weights. */
const [firstTry, lastTry, tries] = [-7, 4, 6]

/** What parts would have, as numbers. */
interface Wanted {
  readonly steps: Float64Array
  readonly minima: Float64Array
}
const wanted = (): Wanted => ({ steps: new Float64Array(parts), minima: new Float64Array(parts) })
const fitted = wanted()
const plain = wanted()
const codes = new Uint8Array(weightsPerPart)

/** What a block says of its parts. */
const chosen = { stepBits: 0, minimumBits: 0, steps: new Uint8Array(parts), minima: new Uint8Array(parts) }

export const quantizeQ4K: Quantize = (weights, into) => {
  const view = new DataView(into.buffer, into.byteOffset, into.byteLength)
  let error = 0
  for (let first = 0, at = 0; first < weights.length; first += weightsPerBlock, at += bytesPerBlock) {
    for (let p = 0; p < parts; p++) fit(weights, first + p * weightsPerPart, p)
    const plainError = chooseFields(weights, first, plain, 0)
    let least = chooseFields(weights, first, fitted, 1)
    if (plainError < least) least = chooseFields(weights, first, plain, 0)
    error += least
    view.setUint16(at, chosen.stepBits, true)
    view.setUint16(at + 2, chosen.minimumBits, true)
    writeFields(into, at + 4)
    writeCodes(weights, first, into, at + 16)
  }
  return error
}

/** Step and minimum of plain rounding for the 32 weights of part `p`, and those of the least squares. */
function fit(weights: Float32Array, first: number, p: number): void {
  let least = 0
  let largest = Number.NEGATIVE_INFINITY
  let sum = 0
  let energy = 0
  for (let i = first; i < first + weightsPerPart; i++) {
    const x = weights[i]!
    if (x < least) least = x
    if (x > largest) largest = x
    sum += x
    energy += x * x
  }
  const isFlat = !(largest > least)
  fitted.steps[p] = plain.steps[p] = isFlat ? 0 : (largest - least) / largestCode
  fitted.minima[p] = plain.minima[p] = -least
  if (isFlat) return
  let best = Number.POSITIVE_INFINITY
  for (let k = firstTry; k <= lastTry + 1; k++) {
    const isLast = k > lastTry
    const inverse = isLast ? 1 / fitted.steps[p]! : (largestCode + k / tries) / (largest - least)
    const shift = isLast ? fitted.minima[p]! : -least
    let total = 0
    let squares = 0
    let products = 0
    for (let i = first; i < first + weightsPerPart; i++) {
      const x = weights[i]!
      const code = nearestCode((x + shift) * inverse)
      total += code
      squares += code * code
      products += x * code
    }
    const spread = weightsPerPart * squares - total * total
    if (!(spread > 0)) continue
    let step = (weightsPerPart * products - sum * total) / spread
    let minimum = (total * products - squares * sum) / spread
    if (minimum < 0) {
      minimum = 0
      step = products / squares
    }
    const bySteps = step * (step * squares - 2 * products - 2 * minimum * total)
    const error = energy + bySteps + minimum * (minimum * weightsPerPart + 2 * sum)
    if (error < best && step > 0) {
      best = error
      fitted.steps[p] = step
      fitted.minima[p] = minimum
    }
  }
}

/** Chooses the units, and the step of each part among those that are nearest and so many to their sides; what all weights are off by. */
function chooseFields(weights: Float32Array, first: number, { steps, minima }: Wanted, around: number): number {
  let largestStep = 0
  let largestMinimum = 0
  for (let p = 0; p < parts; p++) {
    if (steps[p]! > largestStep) largestStep = steps[p]!
    if (minima[p]! > largestMinimum) largestMinimum = minima[p]!
  }
  chosen.stepBits = unitBits(largestStep, largestField)
  chosen.minimumBits = unitBits(largestMinimum, largestField)
  const stepUnit = halfNumber(chosen.stepBits)
  const minimumUnit = halfNumber(chosen.minimumBits)
  let error = 0
  for (let p = 0; p < parts; p++) {
    const begin = first + p * weightsPerPart
    const middle = field(steps[p]! * inverseOf(stepUnit))
    const near = field(minima[p]! * inverseOf(minimumUnit))
    let best = Number.POSITIVE_INFINITY
    for (let step = Math.max(0, middle - around); step <= Math.min(largestField, middle + around); step++) {
      // The minimum that was wanted, then the one that is best for the codes by it.
      let minimum = near
      for (let attempt = 0; attempt <= around; attempt++) {
        const off = errorWith(weights, begin, step * stepUnit, minimum * minimumUnit)
        if (off < best) {
          best = off
          chosen.steps[p] = step
          chosen.minima[p] = minimum
        }
        minimum = field(minimum + (drift / weightsPerPart) * inverseOf(minimumUnit))
      }
    }
    error += best
  }
  return error
}

const field = (x: number): number => Math.max(0, Math.min(largestField, Math.round(x)))

/** How far what `errorWith` found last lies above the weights, all 32 together: as much as the minimum is too small. */
let drift = 0

/** What 32 weights are off by. */
function errorWith(weights: Float32Array, first: number, step: number, minimum: number): number {
  const inverse = inverseOf(step)
  let error = 0
  let sum = 0
  for (let i = first; i < first + weightsPerPart; i++) {
    const shifted = weights[i]! + minimum
    const off = nearestCode(shifted * inverse) * step - shifted
    error += off * off
    sum += off
  }
  drift = sum
  return error
}

const nearestCode = (x: number): number => (x <= 0 ? 0 : x >= largestCode ? largestCode : (x + 0.5) | 0)

/** Steps and minima of the first four parts in six bits of a byte each; of the last four the low four bits in one, and the high two above the first's. */
function writeFields(into: Uint8Array, at: number): void {
  const { steps, minima } = chosen
  for (let p = 0; p < 4; p++) {
    into[at + p] = steps[p]! | ((steps[p + 4]! >> 4) << 6)
    into[at + 4 + p] = minima[p]! | ((minima[p + 4]! >> 4) << 6)
    into[at + 8 + p] = (steps[p + 4]! & 15) | ((minima[p + 4]! & 15) << 4)
  }
}

/** Parts 2i and 2i + 1 are the low and the high half of 32 bytes. */
function writeCodes(weights: Float32Array, first: number, into: Uint8Array, at: number): void {
  const stepUnit = halfNumber(chosen.stepBits)
  const minimumUnit = halfNumber(chosen.minimumBits)
  for (let p = 0; p < parts; p++) {
    const inverse = inverseOf(chosen.steps[p]! * stepUnit)
    const shift = chosen.minima[p]! * minimumUnit
    const from = first + p * weightsPerPart
    const to = at + (p >> 1) * weightsPerPart
    for (let i = 0; i < weightsPerPart; i++) {
      const code = nearestCode((weights[from + i]! + shift) * inverse)
      if (p % 2 === 0) codes[i] = code
      else into[to + i] = codes[i]! | (code << 4)
    }
  }
}
