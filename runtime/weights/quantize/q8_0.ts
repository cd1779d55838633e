/**
 * Q8_0: 32 weights in 34 bytes, a scale in f16 and 32 codes from -127 to 127; a weight is scale · code.
 *
 *     0.5, -1, 0.25, …   →   scale 1/127, codes 64, -127, 32, …
 */
import { halfNumber } from "../half.js"
import { inverseOf, type Quantize, unitBits } from "./quantizer.js"

const weightsPerBlock = 32
const bytesPerBlock = 34
const largestCode = 127

export const quantizeQ8_0: Quantize = (weights, into) => {
  const view = new DataView(into.buffer, into.byteOffset, into.byteLength)
  let error = 0
  for (let first = 0, at = 0; first < weights.length; first += weightsPerBlock, at += bytesPerBlock) {
    let largest = 0
    for (let i = first; i < first + weightsPerBlock; i++) {
      const magnitude = Math.abs(weights[i]!)
      if (magnitude > largest) largest = magnitude
    }
    const bits = unitBits(largest, largestCode)
    const scale = halfNumber(bits)
    const inverse = inverseOf(scale)
    view.setUint16(at, bits, true)
    for (let i = 0; i < weightsPerBlock; i++) {
      const x = weights[first + i]!
      const code = Math.max(-largestCode, Math.min(largestCode, Math.round(x * inverse)))
      view.setInt8(at + 2 + i, code)
      const off = x - code * scale
      error += off * off
    }
  }
  return error
}
