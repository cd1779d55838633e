/** Names of tensors to GGUF and back, for every tensor of the checkpoints that are here. */
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { expect, test } from "vitest"
import { families } from "../../models/index.js"
import { openCheckpoint } from "../../runtime/weights/folder.js"
import { architectures, fileName, isInterleaved, modelName } from "../../runtime/weights/gguf/file-names.js"
import { root } from "../support/goldens.js"

const golden = join(root, "test/golden")
const folders = readdirSync(golden, { withFileTypes: true }).flatMap((f) => (f.isDirectory() ? [f.name] : []))

test.each(folders)("%s: each name is found again", async (folder) => {
  const checkpoint = await openCheckpoint(join(golden, folder))
  const family = String(checkpoint.config.model_type)
  for (const name of checkpoint.tensors.keys()) {
    const found = fileName(family, name)
    expect(found, name).toBeDefined()
    expect(modelName(family, found!.name)?.replace("*", String(found!.expert)), name).toBe(name)
  }
  await checkpoint.close()
})

test("names as gguf-py has them", () => {
  expect(fileName("llama", "model.layers.11.self_attn.q_proj.weight")).toEqual({ name: "blk.11.attn_q.weight" })
  expect(fileName("qwen2", "model.layers.0.self_attn.v_proj.bias")).toEqual({ name: "blk.0.attn_v.bias" })
  expect(fileName("qwen3_moe", "model.layers.2.mlp.experts.31.down_proj.weight")).toEqual({
    name: "blk.2.ffn_down_exps.weight",
    expert: 31,
  })
  expect(fileName("mixtral", "model.layers.2.block_sparse_moe.experts.1.w3.weight")).toEqual({
    name: "blk.2.ffn_up_exps.weight",
    expert: 1,
  })
  expect(fileName("qwen3", "model.layers.01.mlp.up_proj.weight")).toBeUndefined()
  expect(fileName("qwen3", "model.vision.up_proj.weight")).toBeUndefined()
  expect(modelName("qwen3", "blk.0.ssm_a")).toBeUndefined()
})

test("each family has an architecture", () => {
  for (const family of Object.keys(families)) expect(architectures[family], family).toBeDefined()
})

test("queries and keys of the architecture llama lie in another order, and nothing else does", () => {
  expect(isInterleaved("llama", "blk.0.attn_q.weight")).toBe(true)
  expect(isInterleaved("llama", "blk.31.attn_k.bias")).toBe(true)
  expect(isInterleaved("llama", "blk.0.attn_v.weight")).toBe(false)
  expect(isInterleaved("qwen2", "blk.0.attn_q.weight")).toBe(false)
})
