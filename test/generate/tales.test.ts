/** The shipped checkpoint against transformers: 64 greedy tokens of each prompt; on WebGPU, but for long runs, 24 of one of them, and 8 of the others. */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { LoadedModel } from "../../cli/node.js"
import { createGenerator } from "../../runtime/generate/generator.js"
import { long } from "../laws/settings.js"
import { cases, loadTales, present } from "./model.js"

/** How far prompts are followed on a software adapter, which takes a tenth of a second for each token. */
const followed = (at: number) => (long ? 64 : at === 0 ? 24 : 8)

describe.each(["wasm", "webgpu"] as const)("tales on %s", async (device) => {
  describe.skipIf(!(await present(device)))("greedy tokens", () => {
    let model: LoadedModel
    beforeAll(async () => {
      model = await loadTales(device)
    })
    afterAll(() => model?.dispose())

    test.each(cases.map((c) => [c.prompt, c] as const))("%s", async (_, golden) => {
      const count = device === "wasm" ? 64 : followed(cases.indexOf(golden))
      const options = { maxTokens: count, temperature: 0, ignoreEos: true }
      const fromText = await model.generate(golden.prompt, options)
      expect(fromText.tokens).toEqual(golden.greedy.slice(0, count))
      expect(golden.text.startsWith(fromText.text)).toBe(true)
      if (count === 64) expect(fromText.text).toBe(golden.text)
      expect(fromText.usage).toEqual({
        promptTokens: golden.prompt_ids.length,
        cachedTokens: 0,
        completionTokens: count,
      })
      if (device === "webgpu") return
      const fromIds = await model.generate(golden.prompt_ids, options)
      expect(fromIds.tokens).toEqual(golden.greedy)
    })

    test("steps ahead of the host say the same, drawn or not, and so does what follows an end", async () => {
      const { session } = model
      const ahead = createGenerator({
        ...session,
        device: Object.create(session.device, { ahead: { value: 3 } }),
        dispose: () => {},
      })
      const prompt = cases[0]!.prompt_ids
      const drawn = { temperature: 0.9, topK: 40, topP: 0.9, minP: 0, seed: 5 }
      for (const options of device === "wasm" ? [{ temperature: 0 }, drawn] : [{ temperature: 0 }]) {
        const all = await model.generate(prompt, { ...options, maxTokens: 12, ignoreEos: true })
        let seen = 0
        for await (const _ of ahead.generate(prompt, { ...options, maxTokens: 12 })) if (++seen === 4) break
        const found = await ahead.generate(prompt, { ...options, maxTokens: 12, ignoreEos: true })
        expect(found.tokens).toEqual(all.tokens)
      }
    })

    test("the number of tokens changes neither the kernels nor the commands of a step", async () => {
      const long = device === "wasm" ? 200 : 12
      const options = { temperature: 0, ignoreEos: true }
      const first = await model.generate("The fox", { ...options, maxTokens: 2 })
      const { commands, submits } = model.session.device.counters
      const result = await model.generate("The fox", { ...options, maxTokens: long })
      const { timings } = result
      expect(result.tokens.length).toBe(long)
      expect(timings.pipelines).toBe(first.timings.pipelines)
      expect(timings.commands).toBe(first.timings.commands)
      expect(timings.commandsPerToken).toBe(first.timings.commandsPerToken)
      const counters = model.session.device.counters
      // One submit for the prompt, one for each token after the first; each step runs the same commands.
      expect(counters.submits - submits).toBe(long)
      const { prefill, greedy } = model.session.artifact.entries
      const ofPrompt = prefill!.launches.length + greedy!.launches.length
      expect(counters.commands - commands).toBe(ofPrompt + (long - 1) * timings.commandsPerToken)
    })
  })
})
