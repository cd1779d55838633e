/**
 * What a decode step of published Qwen3 configs costs on WebAssembly, against what the model asks for: the bytes of weights and cached values read
 * once, and the arithmetic of computing each tensor once. And the numbers of kernels. On WebGPU it is held by latency.test.ts.
 */
import { beforeAll, describe, expect, test } from "vitest"
import { type Compilation, compileProgram } from "../../compiler/compile.js"
import { factsOf } from "../../compiler/explain/facts.js"
import { configNames } from "../support/configs.js"
import { configured } from "./shapes.js"
import { claimsOfStep } from "./step-claims.js"

describe.each(configNames)("a decode step of %s", (name) => {
  let compilation: Compilation
  beforeAll(async () => {
    const program = await configured(name)
    compilation = compileProgram(program, "qwen3", { target: "wasm", storage: () => "bf16", entries: ["step"] })
  })
  claimsOfStep(name, () => compilation)

  if (name === "qwen3-0.6b")
    test("has the weights of the config: 596 million parameters of two bytes", () => {
      expect(factsOf(compilation, new Map()).weightBytes / 2).toBe(596_049_920)
    })
})
