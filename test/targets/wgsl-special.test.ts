/**
 * No driver folds away what special values make of small terms, although it may compute with real numbers: random terms on the adapter against the
 * interpreter. Before one operand was hidden wherever that is possible (`compiler/targets/wgsl/cancel.ts`), one term of five was wrong here.
 */
import fc from "fast-check"
import { expect, test } from "vitest"
import { print, withTable } from "../../compiler/ir/expression.js"
import { wgslKernel } from "../../compiler/targets/wgsl/emit.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { available } from "../devices/conformance.js"
import { decisions } from "../laws/choices.js"
import { patience, runs, seed } from "../laws/settings.js"
import { given, kernelOf, termOf, wordsOfTerm, wrongOf } from "./special-terms.js"

const together = 8
const present = await available("webgpu", () => createWebgpuDevice())

test.skipIf(!present)(
  "random terms are what the interpreter has for them, at infinities, NaN and zeros of both signs",
  async () => {
    const device = await createWebgpuDevice()
    const count = Math.ceil(runs(120) / together) * together
    console.log(`special values in small terms: ${count} terms, WEFT_SEED=${seed}`)
    const numbers = fc.sample(decisions(10, 60), { seed, numRuns: count })
    const batches = Array.from({ length: count / together }, (_, b) =>
      withTable(() => {
        const terms = numbers.slice(b * together, (b + 1) * together).map(termOf)
        return { terms, kernel: wgslKernel(kernelOf(terms), { symbolOrder: [], limits: device.adapterInfo.limits }) }
      }),
    )
    try {
      const kernels = await device.compile({ kernels: batches.map((b) => b.kernel), module: new Uint8Array(0) }, 0)
      const source = device.allocate(given.byteLength, "given")
      device.upload(source, 0, new Uint8Array(given.buffer))
      const wrong: string[] = []
      for (const [b, { terms }] of batches.entries()) {
        const target = device.allocate(together * wordsOfTerm * 4, "found")
        device.submit(
          [device.record([{ kernel: kernels[b]!, buffers: [source, target], groups: 1 }])],
          new Int32Array(0),
        )
        const found = new Float32Array((await device.read(target, 0, target.bytes)).slice().buffer)
        for (const [t, term] of terms.entries()) {
          const problem = wrongOf(term, found.subarray(t * wordsOfTerm))
          if (problem !== undefined) wrong.push(`${print(term.term)}\n  ${problem}`)
        }
      }
      expect(wrong.sort((a, b) => a.length - b.length).slice(0, 3)).toEqual([])
    } finally {
      device.dispose()
    }
  },
  patience,
)
