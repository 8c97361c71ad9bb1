import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// While the page is being written: `npm run dev` beside `make serve`.
const service = process.env["FEATUREPACK_URL"] ?? "http://127.0.0.1:8000";
const calls = ["/v1", "/healthz", "/readyz", "/docs", "/openapi.json"];
const proxy = Object.fromEntries(calls.map((path) => [path, service]));

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "../service/static",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 700,
    // What every visit needs is one file, not two dozen that wait for each other.
    rolldownOptions: {
      output: { codeSplitting: { groups: [{ name: "first", tags: ["$initial"] }] } },
    },
  },
  server: { proxy },
  preview: { proxy },
  test: { include: ["src/**/*.test.ts"] },
});
