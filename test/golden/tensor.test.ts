/** The tensor interpreter against transformers: what the language means is right before anything is compiled. */
import { describe, expect, test } from "vitest"
import { type Dense, interpretTensor } from "../../compiler/interpret/tensor.js"
import { traceModel } from "../../compiler/trace/programs.js"
import { long, seed } from "../laws/settings.js"
import { modelOf } from "../support/driver.js"
import { denseWeights, goldenNames, loadGolden, normalisedError } from "../support/goldens.js"

/** In each run every other one, by its seed, and all in long ones. */
const some = long ? goldenNames : goldenNames.filter((_, i) => i % 2 === seed % 2)

describe("golden logits through the tensor interpreter", () => {
  for (const name of some)
    test(name, async () => {
      const golden = await loadGolden(name)
      const model = await modelOf((golden.checkpoint.config as { model_type: string }).model_type)
      const traced = traceModel(model.configure(golden.checkpoint.config), { bounds: [128], storage: () => "bf16" }, [
        "logits",
      ])
      const weights = await denseWeights(traced, golden.checkpoint)
      const [entry] = traced.entries
      for (const [row, ids] of golden.ids.entries()) {
        const inputs = new Map<string, Dense>(weights)
        inputs.set("inputs.tokens", {
          axes: [{ name: "seq", extent: ids.length }],
          dtype: "i32",
          data: Float64Array.from(ids),
        })
        for (const s of traced.states) {
          const axes = s.axes.map((a, i) => ({ name: a.name, extent: a.extent.kind === "symbol" ? 0 : s.capacity[i]! }))
          inputs.set(s.name, { axes, dtype: s.dtype, data: new Float64Array(axes.reduce((n, a) => n * a.extent, 1)) })
        }
        const [logits] = interpretTensor(
          [entry!.outputs[0]!.tensor],
          inputs,
          new Map([
            ["past", 0],
            ["seq", ids.length],
          ]),
        )
        expect(normalisedError(logits!.data, golden.logits[row]!)).toBeLessThan(1e-8)
      }
      await golden.checkpoint.close()
    })
})
