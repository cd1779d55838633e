/** The artifacts that run on a card, compiled where the compiler is; by name, so that they can be carried to a machine that has none. */
import { type CompileOptions, compileProgram } from "../../compiler/compile.js"
import { loadModel } from "../../compiler/frontend/load.js"
import type { Artifact, Precision } from "../../runtime/artifact.js"
import type { Checkpoint } from "../../runtime/weights/checkpoint.js"
import { openCheckpoint } from "../../runtime/weights/folder.js"
import { context, vocab } from "../generate/endings.js"
import type * as Models from "../generate/stateful-model.js"
import { compileCheckpoint, compileStored } from "../support/driver.js"
import { loadGolden, longGoldens } from "../support/goldens.js"
import { loadQuantized } from "../support/quantized-goldens.js"
import { tales } from "./names.js"

/** @param name one of `artifactNames` */
export async function makeArtifact(name: string): Promise<Artifact> {
  const [kind, subject, precision = "exact"] = name.split(" ") as [string, string, Precision?]
  if (kind === "stateful") {
    const models = (await loadModel("test/generate/stateful-model.ts")).module as typeof Models
    const layers = subject.split("+") as (typeof Models.kinds)[number][]
    const options: CompileOptions = { target: "cuda", precision, chunk: 5, storage: () => "f32" }
    return compileProgram(models.model.configure({ context, vocab, layers }), "stateful", options).artifact
  }
  if (kind === "tales") return compiled(await openCheckpoint(tales), { precision: subject as Precision })
  if (kind === "quantized") {
    const { checkpoint } = await loadQuantized(name.slice(kind.length + 1))
    const { artifact } = await compileStored(checkpoint, "cuda")
    await checkpoint.close()
    return artifact
  }
  const golden = await loadGolden(subject)
  const isLong = longGoldens.some((l) => l.name === subject)
  return compiled(golden.checkpoint, { precision, ...(isLong ? { chunk: golden.ids[0]!.length } : {}) })
}

async function compiled(checkpoint: Checkpoint, options: Partial<CompileOptions>): Promise<Artifact> {
  const { artifact } = await compileCheckpoint(checkpoint, "cuda", options)
  await checkpoint.close()
  return artifact
}
