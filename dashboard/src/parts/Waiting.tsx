import { Skeleton, Stack } from "@mantine/core";

/** As high as what will stand here, so that nothing jumps. */
export function Waiting({ lines = 6, height = 26 }: { lines?: number; height?: number }) {
  return (
    <Stack gap={8} aria-busy="true" aria-label="Loading">
      {Array.from({ length: lines }, (_, line) => (
        <Skeleton key={line} height={height} />
      ))}
    </Stack>
  );
}
