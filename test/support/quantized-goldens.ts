/** Goldens of quantized files: logits that transformers computes, in float32, with the weights that they decode to (test/golden/quantized.py). */
import { readFileSync } from "node:fs"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Checkpoint } from "../../runtime/weights/checkpoint.js"
import { openCheckpoint } from "../../runtime/weights/folder.js"
import { goldenFolder } from "./goldens.js"
import { folderFiles, folderMethods, ggufFile } from "./quantized-files.js"

export interface QuantizedGolden {
  readonly checkpoint: Checkpoint
  readonly ids: readonly number[]
  /** [seq, vocab], row-major. */
  readonly logits: Float32Array
}

const goldens: Readonly<Record<string, string>> = JSON.parse(readFileSync(goldenFolder("quantized.json"), "utf8"))
/** Types of blocks, methods of folders, and some of them with experts. */
export const quantizedNames: readonly string[] = Object.keys(goldens)
const ids = Array.from({ length: 12 }, (_, i) => (i * 37 + 5) % 96)

/** A golden with its checkpoint, from files as anybody has them. */
export async function loadQuantized(name: string): Promise<QuantizedGolden> {
  const logits = new Float32Array(new Uint8Array(Buffer.from(goldens[name]!, "base64")).buffer)
  return { checkpoint: await open(name), ids, logits }
}

async function open(name: string): Promise<Checkpoint> {
  const folder = await mkdtemp(join(tmpdir(), "weft-quantized-"))
  const [kind, ofExperts] = [name.split(",")[0]!, name.includes("experts")]
  try {
    if (folderMethods[kind] !== undefined) {
      const files = Object.entries(folderFiles(kind, ofExperts))
      for (const [path, content] of files) await writeFile(join(folder, path), content)
      return await openCheckpoint(folder)
    }
    const path = join(folder, "model.gguf")
    await writeFile(path, ggufFile(kind, ofExperts))
    return await openCheckpoint(path)
  } finally {
    // What is open can be read though its name is gone.
    await rm(folder, { recursive: true })
  }
}
