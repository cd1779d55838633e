/**
 * Checks WGSL without a GPU: Dawn's null backend parses and types it, computes nothing and needs no driver.
 *
 *   await validateWgsl([{ name: "sum", source: "fn main() { let x: u32 = 1f; }" }])
 *   → [{ name: "sum", line: 1, column: 27, message: "cannot initialize 'let' of type 'u32' …" }]
 */
import { findAdapter } from "./adapter.js"
import { matrixFeatures } from "./matrices.js"

export interface WgslProblem {
  readonly name: string
  readonly line: number
  readonly column: number
  readonly message: string
}

/** The errors of all sources, in their order. Node only. */
export async function validateWgsl(
  sources: readonly { readonly name: string; readonly source: string }[],
): Promise<readonly WgslProblem[]> {
  const adapter = await findAdapter({ adapter: "null", toggles: ["allow_unsafe_apis"] })
  const device = await adapter.requestDevice({
    requiredFeatures: ["subgroups", "shader-f16", ...matrixFeatures(adapter)],
  })
  try {
    const found = await Promise.all(sources.map((s) => problemsOf(device, s.name, s.source)))
    return found.flat()
  } finally {
    device.destroy()
  }
}

async function problemsOf(device: GPUDevice, name: string, code: string): Promise<readonly WgslProblem[]> {
  device.pushErrorScope("validation")
  const module = device.createShaderModule({ code })
  const [, info] = await Promise.all([device.popErrorScope(), module.getCompilationInfo()])
  return info.messages
    .filter((m) => m.type === "error")
    .map((m) => ({ name, line: m.lineNum, column: m.linePos, message: m.message }))
}
