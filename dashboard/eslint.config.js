import js from "@eslint/js";
import jsxA11y from "eslint-plugin-jsx-a11y";
import reactHooks from "eslint-plugin-react-hooks";
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig(globalIgnores(["src/api/schema.d.ts"]), {
  files: ["src/**/*.{ts,tsx}"],
  extends: [
    js.configs.recommended,
    tseslint.configs.strictTypeChecked,
    reactHooks.configs.flat.recommended,
    jsxA11y.flatConfigs.recommended,
  ],
  languageOptions: { parserOptions: { projectService: true } },
  rules: {
    // Inner loops over points and rows know their bounds; noUncheckedIndexedAccess does not.
    "@typescript-eslint/no-non-null-assertion": "off",
    "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
    "@typescript-eslint/no-unused-vars": ["error", { ignoreRestSiblings: true }],
    // What scrolls can be focused, and so moved by keys.
    "jsx-a11y/no-noninteractive-tabindex": [
      "error",
      { tags: ["pre"], roles: ["group", "application"] },
    ],
    "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
  },
  linterOptions: { reportUnusedDisableDirectives: "error" },
});
