import { ActionIcon, CopyButton, Tooltip } from "@mantine/core";

interface Props {
  code: string;
  name: string;
  /** What stands there where all of it would be too long. */
  shown?: string | undefined;
}

/** A line or more to copy into a shell or an editor. */
export function Command({ code, name, shown }: Props) {
  return (
    <div className="command">
      <pre tabIndex={0} aria-label={name}>
        {shown ?? code}
      </pre>
      <CopyButton value={code} timeout={1500}>
        {({ copied, copy }) => (
          <Tooltip label={copied ? "Copied" : "Copy"}>
            <ActionIcon variant="subtle" color="gray" onClick={copy} aria-label={`Copy: ${name}`}>
              <svg
                width="15"
                height="15"
                viewBox="0 0 16 16"
                fill="none"
                stroke="currentColor"
                aria-hidden="true"
              >
                {copied ? (
                  <path d="M3 8.5l3.5 3.5L13 4.5" strokeWidth="1.8" />
                ) : (
                  <path d="M5.5 5.5h8v8h-8zM10.5 3V2.5h-8v8H3" strokeWidth="1.3" />
                )}
              </svg>
            </ActionIcon>
          </Tooltip>
        )}
      </CopyButton>
    </div>
  );
}
