/** Keys of structures: the same in every process, whatever parts are called. */
import { expect, test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import { fingerprintOf } from "../../compiler/kernel/fingerprint.js"
import { contraction, rows, type Shape } from "./kernels.js"

const base: Shape = { rows: { max: 128, hint: 64 }, out: 64, inner: 32 }
const keyOf = (shape: Shape) => withTable(() => fingerprintOf(contraction(shape)).key)

test("it is the same in every process and every table", () => {
  expect(keyOf(base)).toBe("d198b7087c93f4da47ab504f")
  expect(withTable(() => fingerprintOf(contraction(base)))).toEqual({ key: keyOf(base), axes: ["row", "out", "inner"] })
})

test("names and the largest sizes are no part of it, the axes are told in its order", () => {
  expect(keyOf({ ...base, rows: { max: 1024, hint: 64 } })).toBe(keyOf(base))
  const renamed: Shape = { ...base, names: ["token", "unit", "channel"] }
  expect(keyOf(renamed)).toBe(keyOf(base))
  expect(withTable(() => fingerprintOf(contraction(renamed)).axes)).toEqual(["token", "unit", "channel"])
})

test("hints, extents, storages and expressions are", () => {
  const others = [
    keyOf({ ...base, rows: { max: 128, hint: 1 } }),
    keyOf({ ...base, rows: 64 }),
    keyOf({ ...base, out: 128 }),
    keyOf({ ...base, inner: 64 }),
    keyOf({ ...base, storage: "bf16" }),
    withTable(() => fingerprintOf(rows(64, 32)).key),
  ]
  expect(new Set([keyOf(base), ...others]).size).toBe(others.length + 1)
})
