using System.Security.Cryptography;

namespace MnistNative;

/// <summary>SHA-256 of what is inside a file, plain or gzip.</summary>
internal static class ContentHash
{
    /// <summary>
    /// The sum of the uncompressed content, lower-case hexadecimal. It stops with an
    /// <see cref="InvalidDataException"/> when the content is longer than <paramref name="maxLength"/>, so that a small
    /// file cannot unpack without end, or when the gzip data is damaged.
    /// </summary>
    public static async Task<string> ComputeAsync(FileStream file, long maxLength, CancellationToken cancellationToken)
    {
        file.Position = 0;
        Stream content = IdxFile.Open(file);
        try
        {
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            byte[] buffer = new byte[1 << 16];
            long length = 0;
            int read;
            while ((read = await content.ReadAsync(buffer, cancellationToken).ConfigureAwait(false)) > 0)
            {
                length += read;
                if (length > maxLength)
                {
                    throw new InvalidDataException($"the content is longer than the expected {maxLength} bytes");
                }

                hash.AppendData(buffer, 0, read);
            }

            return Convert.ToHexString(hash.GetHashAndReset()).ToLowerInvariant();
        }
        finally
        {
            if (content != file)
            {
                await content.DisposeAsync().ConfigureAwait(false);
            }
        }
    }
}
