namespace MnistNative;

/// <summary>
/// A data set is neither on this machine nor could it be downloaded. The message lists every place that was looked
/// in and every address that was tried, with what each of them said.
/// </summary>
public sealed class DatasetUnavailableException : IOException
{
    /// <summary>Creates the exception with a default message.</summary>
    public DatasetUnavailableException()
        : base("The data set is neither on this machine nor could it be downloaded.")
    {
    }

    /// <summary>Creates the exception with a message.</summary>
    /// <param name="message">What was tried, and what to do.</param>
    public DatasetUnavailableException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with a message and its cause.</summary>
    /// <param name="message">What was tried, and what to do.</param>
    /// <param name="innerException">The last error.</param>
    public DatasetUnavailableException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }
}
