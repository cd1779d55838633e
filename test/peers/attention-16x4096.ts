import { attention } from "./attention.js"

export const program = attention(16, 4096)
