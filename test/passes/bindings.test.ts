/** Kernels that would bind too many buffers are cut in few attempts, however many buffers there are. */
import { expect, test } from "vitest"
import { apply, literal, variable, withTable } from "../../compiler/ir/expression.js"
import * as ir from "../../compiler/ir/tensor.js"
import { fuse } from "../../compiler/kernel/fuse.js"

const axes = [{ name: "a", extent: literal(8) }]
const given = (name: string) => ir.input(name, "input", axes, "f32", "f32", [8])
const sum = (x: ir.Tensor, y: ir.Tensor) => ir.map(apply("add", variable("$0", "f32"), variable("$1", "f32")), [x, y])
const sumOf = (count: number, name: string) =>
  Array.from({ length: count }, (_, i) => given(`${name}${i}`)).reduce<ir.Tensor>((x, y) => sum(x, y), given(name))

/** How often the program is laid out anew, and the kernels that come of it. */
function fused(results: readonly ir.Tensor[]) {
  let attempts = 0
  const storage = () => {
    attempts++
    return (t: ir.Tensor) => t.dtype
  }
  const { steps } = fuse(results, { bindings: 8, storage })
  const kernels = steps.flatMap((step) => (step.kind === "kernel" ? [step] : []))
  return { attempts, kernels }
}

test.each([20, 100, 400])("a sum of %s inputs, one after the other", (count) =>
  withTable(() => {
    const { attempts, kernels } = fused([sumOf(count, "x")])
    // One, one with what binds too much cut, and one more where such a chain is too deep besides.
    expect(attempts).toBeLessThanOrEqual(3)
    for (const { bindings } of kernels) expect(bindings.length).toBeLessThanOrEqual(8)
    expect(kernels.length).toBe(Math.ceil(count / 6))
  }),
)

test.each([4, 40])("%s results that share nothing", (count) =>
  withTable(() => {
    const { attempts, kernels } = fused(Array.from({ length: count }, (_, i) => sumOf(20, `x${i}_`)))
    expect(attempts).toBe(2)
    for (const { bindings } of kernels) expect(bindings.length).toBeLessThanOrEqual(8)
  }),
)
