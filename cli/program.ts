/**
 * A program's file in, a program that runs out.
 *
 *     using program = await loadProgram<typeof mandelbrot>("examples/mandelbrot.ts", { device: "auto" })
 *     const { count } = await program.run({ re, im })
 */
import { filePath, typed } from "../compiler/frontend/host.js"
import type { DefinedProgram } from "../dsl/program.js"
import type { Artifact } from "../runtime/artifact.js"
import { checkArtifact } from "../runtime/artifact-check.js"
import { fromHost } from "../runtime/host.js"
import { loadProgram as loadArtifact, type NumberArray, type RunningProgram } from "../runtime/program.js"
import { keptArtifact } from "./cache.js"
import { type ChosenDevice, chooseDevice, deviceForArtifact, deviceNameFor } from "./device.js"
import { isFile, type LoadProgramOptions, programOptions } from "./options.js"
import { tunedFor } from "./tuned.js"

type InputsOf<P> = P extends DefinedProgram<infer I, unknown> ? I : Readonly<Record<string, NumberArray>>
type OutputsOf<P> = P extends DefinedProgram<never, infer O> ? O : Readonly<Record<string, NumberArray>>

/**
 * Compiles the program of a file (or takes the artifact from the cache) and puts it on a device. With the program's type the arrays of `run`
 * are typed: `import type { program } from "./mandelbrot.js"`, then `loadProgram<typeof program>("mandelbrot.ts")`.
 *
 * @param source a file that exports a `program`, by path or URL, or an artifact of one
 * @throws WeftError `device/…`, `webgpu/…`, `artifact/…`, and what `compile` throws
 */
export async function loadProgram<
  P = DefinedProgram<Readonly<Record<string, NumberArray>>, Readonly<Record<string, NumberArray>>>,
>(
  source: string | URL | Artifact,
  options: LoadProgramOptions = {},
): Promise<RunningProgram<InputsOf<P>, OutputsOf<P>>> {
  return typed("program/unforeseen", async () => {
    const asked = fromHost("program/options", "the options cannot be read", () => programOptions(options))
    const file = isFile(source) ? filePath(source, "program/source", "the program's file") : undefined
    const given = file === undefined ? checkArtifact(source) : undefined
    const name = deviceNameFor(given, asked.device)
    const accesses = asked.accesses ?? (given ? "checked" : "proven")
    let chosen = await chooseDevice(name, asked.threads, accesses, asked.experimentalGpu)
    try {
      const artifact = given ?? (await compiled(file!, chosen, asked))
      chosen = await deviceForArtifact(chosen, artifact, { ...asked, device: name })
      const { device } = chosen
      return await loadArtifact<InputsOf<P>, OutputsOf<P>>(artifact, { device, onDispose: () => device.dispose() })
    } catch (error) {
      chosen.device.dispose()
      throw error
    }
  })
}

async function compiled(
  file: string,
  { device, adapter }: ChosenDevice,
  options: LoadProgramOptions,
): Promise<Artifact> {
  const tuned = await tunedFor(device, options.tuned)
  const parts = [device.kind, adapter, tuned]
  const { cache } = options
  const kept = { cache, label: `program-${device.kind}`, modelFile: file, parts }
  const { artifact } = await keptArtifact(kept, async () => {
    const { compileFile } = await import("../compiler/internal.js")
    return compileFile(file, {}, device.kind, { adapter, tuned })
  })
  return artifact
}
